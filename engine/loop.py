"""The device thread: one queue of jobs, and all sequences advanced in turn.

Everything that touches the device happens here: loads, prefill chunks, decode steps, unloads. What
comes out are messages and tokens, handed over a round at a time; nobody waits for anybody. Each
round advances every running sequence by one chunk or one token, so that a long prompt holds nobody
up for long.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .child import log_unexpected
from .errors import CortexError, EngineFailed, ErrorInfo, Overloaded, to_info
from .frames import unpack_value
from .generation import choice_sampling
from .messages import (
    Cancel,
    Generate,
    GenerateFailed,
    JobFailed,
    Load,
    Loaded,
    Progress,
    Unload,
    Unloaded,
    Waiting,
)
from .models.registry import load_model
from .served import Sequence, ServedModel
from .tokenizer import Tokenizer
from .types import FinishReason, Prompt, Stage, TokenScores

MAX_RUNNING = 16
MAX_WAITING = 256
_PROGRESS_INTERVAL_S = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A model is ready; its tokenizer was read on the way, and is read only once."""

    loaded: Loaded
    tokenizer: Tokenizer


@dataclass(frozen=True, slots=True)
class Started:
    """A request's prompt was opened: who turns its tokens into text needs these.

    `prompt` has let go of its pictures.
    """

    request_id: str
    epoch: int
    model_id: str
    prompt: Prompt
    resume_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NewToken:
    """One token of an answer, or its end without one."""

    request_id: str
    epoch: int
    token_id: int | None
    finish: FinishReason | None = None
    scores: TokenScores | None = None


DeviceEvent = (
    Started | NewToken | Progress | ModelLoaded | Unloaded | JobFailed | Waiting | GenerateFailed
)
Job = Load | Unload | Generate | Cancel


@dataclass(slots=True)
class _Running:
    job: Generate
    served: ServedModel
    sequence: Sequence
    resume: list[int]


class DeviceLoop:
    """Start `run` on a thread of its own; `submit` and `close` are for any thread.

    `hand_over` is called on that thread with what happened, all of one round together.
    """

    def __init__(
        self, device: torch.device, hand_over: Callable[[tuple[DeviceEvent, ...]], None]
    ) -> None:
        self._device = device
        self._hand_over = hand_over
        self._outbox: list[DeviceEvent] = []
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._models: dict[str, ServedModel] = {}
        self._waiting: list[Generate] = []
        self._running: list[_Running] = []
        # Cached numbers for the heartbeat: read from another thread, never waited for.
        self.step_count = 0
        self.num_queued = 0
        self.weight_bytes = 0

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        self._closing.set()
        self._jobs.put(None)

    def run(self) -> None:
        """Returns when closed, or after a bug: the thread's end is what its owner sees of it."""
        try:
            while not self._closing.is_set():
                self._take_jobs()
                self._admit()
                for running in list(self._running):
                    self._advance(running)
                self._flush()
        except Exception as error:
            log_unexpected(logger, "device thread ended", error)

    def _emit(self, event: DeviceEvent) -> None:
        self._outbox.append(event)

    def _flush(self) -> None:
        if self._outbox:
            self._hand_over(tuple(self._outbox))
            self._outbox.clear()

    def _take_jobs(self) -> None:
        """All jobs that are there; waits for one where nothing runs."""
        is_idle = not self._running and not self._waiting
        while not self._closing.is_set():
            try:
                job = self._jobs.get(block=is_idle)
            except queue.Empty:
                return
            is_idle = False
            match job:
                case Load():
                    self._load(job)
                case Unload():
                    self._unload(job)
                case Generate():
                    self._enqueue(job)
                case Cancel():
                    self._cancel(job)
                case None:
                    return
            self._flush()

    def _load(self, job: Load) -> None:
        started_s = time.monotonic()
        last_told_s = 0.0

        def on_progress(done_bytes: int, total_bytes: int) -> None:
            nonlocal last_told_s
            now_s = time.monotonic()
            if now_s - last_told_s >= _PROGRESS_INTERVAL_S or done_bytes == total_bytes:
                last_told_s = now_s
                stage = Stage("loading", done_bytes, total_bytes, "bytes")
                self._emit(Progress(job.job_id, stage))
                self._flush()

        try:
            model_dir = Path(job.model_dir)
            dtype = torch.float32 if self._device.type == "cpu" else torch.bfloat16
            loaded = load_model(model_dir, dtype, self._device, on_progress)
            tokenizer = Tokenizer(model_dir / "tokenizer.json")
            served = ServedModel(loaded, tokenizer.vocab_size, self._device)
            self._models[job.model_id] = served
        except Exception as error:
            self._emit(JobFailed(job.job_id, _described("load failed", error)))
            return
        self._count_weights()
        seconds = time.monotonic() - started_s
        ready = Loaded(job.job_id, job.model_id, loaded.weight_bytes, seconds)
        self._emit(ModelLoaded(ready, tokenizer))

    def _unload(self, job: Unload) -> None:
        for running in [r for r in self._running if r.job.model_id == job.model_id]:
            self._fail(running, EngineFailed(f"model {job.model_id} was unloaded."))
        self._models.pop(job.model_id, None)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._count_weights()
        self._emit(Unloaded(job.job_id, job.model_id))

    def _count_weights(self) -> None:
        self.weight_bytes = sum(m.weight_bytes for m in self._models.values())

    def _enqueue(self, job: Generate) -> None:
        if len(self._waiting) >= MAX_WAITING:
            error = Overloaded(f"{MAX_WAITING} requests already wait for this engine.")
            self._emit(GenerateFailed(job.request_id, job.epoch, to_info(error)))
            return
        self._waiting.append(job)

    def _admit(self) -> None:
        """First come, first served, while there are slots; the rest hear their place."""
        while self._waiting and len(self._running) < MAX_RUNNING:
            self._start(self._waiting.pop(0))
        if len(self._waiting) != self.num_queued:
            self.num_queued = len(self._waiting)
            for place, job in enumerate(self._waiting, start=1):
                stage = Stage("queued", place, len(self._waiting), "place")
                self._emit(Waiting(job.request_id, job.epoch, stage))

    def _start(self, job: Generate) -> None:
        served = self._models.get(job.model_id)
        try:
            if served is None:
                raise EngineFailed(f"model {job.model_id} is not loaded here.")
            prompt = unpack_value(Prompt, job.prompt)
            prompt = replace(prompt, sampling=choice_sampling(prompt.sampling, job.choice))
            sequence = served.start(prompt)
        except Exception as error:
            info = _described("start failed", error)
            self._emit(GenerateFailed(job.request_id, job.epoch, info))
            return
        resume = list(job.resume_token_ids)
        self._emit(Started(job.request_id, job.epoch, job.model_id, prompt, job.resume_token_ids))
        # The pictures and ids now live in the sequence: the packed copy is let go.
        self._running.append(_Running(replace(job, prompt=b""), served, sequence, resume))

    def _cancel(self, job: Cancel) -> None:
        key = (job.request_id, job.epoch)
        self._waiting = [r for r in self._waiting if (r.request_id, r.epoch) != key]
        for running in self._running:
            if (running.job.request_id, running.job.epoch) == key:
                self._finish(running, NewToken(*key, None, "cancelled"))
                return

    def _advance(self, running: _Running) -> None:
        """One chunk of the prompt, one resumed token, or one new token."""
        sequence, job = running.sequence, running.job
        try:
            self.step_count += 1
            if not sequence.is_prefilled:
                running.served.prefill_chunk(sequence)
                stage = Stage(
                    "prefill", sequence.num_prefilled, len(sequence.prompt.token_ids), "tokens"
                )
                self._emit(Waiting(job.request_id, job.epoch, stage))
            elif running.resume:
                running.served.feed(sequence, running.resume.pop(0))
            else:
                self._decode(running)
        except Exception as error:
            self._fail(running, error)

    def _decode(self, running: _Running) -> None:
        sequence, job = running.sequence, running.job
        if sequence.num_answered >= sequence.prompt.max_tokens:
            self._finish(running, NewToken(job.request_id, job.epoch, None, "length"))
            return
        chosen = running.served.choose(sequence)
        token_id, scores = chosen.token_id, chosen.scores
        if token_id in sequence.prompt.stop_token_ids:
            self._finish(running, NewToken(job.request_id, job.epoch, None, "stop"))
        elif sequence.num_answered + 1 == sequence.prompt.max_tokens:
            self._finish(running, NewToken(job.request_id, job.epoch, token_id, "length", scores))
        else:
            self._emit(NewToken(job.request_id, job.epoch, token_id, scores=scores))
            running.served.feed(sequence, token_id)

    def _finish(self, running: _Running, last: NewToken) -> None:
        self._running.remove(running)
        self._emit(last)

    def _fail(self, running: _Running, error: Exception) -> None:
        if running in self._running:
            self._running.remove(running)
        info = _described("request failed", error)
        self._emit(GenerateFailed(running.job.request_id, running.job.epoch, info))


def _described(event: str, error: Exception) -> ErrorInfo:
    """The error for its consumer; where it is a bug, its place for the log, never its text."""
    if not isinstance(error, CortexError):
        log_unexpected(logger, event, error)
    return to_info(error)
