"""The engine process: `python -m cortex.engine.worker --device cpu --fd N`.

Its main thread reads jobs from the peer, turns tokens into text and sends steps; the device thread
does everything else (`loop.py`). Text is made here and not on the device thread, so that a slow
character never delays a token.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import torch
from msgspec.structs import replace

from .answer import AnswerText
from .child import Send, log_unexpected, run_child
from .cores import usable_cores
from .costs import ModelCosts
from .current_device import open_device
from .errors import CortexError, DevicePoisoned, EngineFailed, to_info
from .estimating import estimate
from .events import DeviceEvent, ModelLoaded, NewToken, Started
from .failing import described
from .gauge import gpu_memory
from .heap import give_freed_memory_back, keep_freed_memory
from .loop import DeviceLoop
from .memory import MAX_SEQUENCES
from .messages import (
    Alive,
    Cancel,
    CancelLoad,
    Estimate,
    Estimated,
    Generate,
    GenerateFailed,
    JobFailed,
    Load,
    Message,
    Step,
    StepPart,
    Unload,
    Unloaded,
    Waiting,
)
from .stream import Delta
from .tokenizer import Tokenizer
from .types import TokenLogprob
from .wishes import DtypeWish, KernelsWish, ModeWish, SpeculationWish, Wishes

logger = logging.getLogger(__name__)

# So many tokens are made text of, of an answer that is resumed, before others have a turn: they
# take less time than a step.
_RESUMED_AT_ONCE = 32


class Worker:
    """The service of an engine child (see `child.py`)."""

    def __init__(
        self,
        device: torch.device,
        wishes: Wishes,
        send: Send,
        memory_bytes: int | None = None,
        num_engines: int = 1,
    ) -> None:
        self._send = send
        self._device, self._wishes = device, wishes
        self._free_at_start_bytes, self._device_bytes = gpu_memory(device)
        self._estimates: asyncio.Queue[Estimate] = asyncio.Queue()
        self._tokenizers: dict[str, Tokenizer] = {}
        self._answers: dict[tuple[str, int], AnswerText] = {}
        self._resumed: asyncio.Queue[tuple[Started, AnswerText]] = asyncio.Queue()
        # Of those, what is told when they have caught up.
        self._held_back: dict[tuple[str, int], list[DeviceEvent]] = {}
        self._event_loop = asyncio.get_running_loop()
        # By the device thread, and the last one why that has ended.
        self._handed_over: asyncio.Queue[tuple[DeviceEvent, ...] | CortexError] = asyncio.Queue()
        self._device_loop = DeviceLoop(device, memory_bytes, wishes, self._hand_over, num_engines)
        name = f"{device.type}-dev-{device.index or 0}"
        # A daemon: it may be deep in a long step when the parent goes, and must not hold the end.
        threading.Thread(target=self._drive, name=name, daemon=True).start()

    async def handle(self, message: Message) -> None:
        match message:
            case Load() | CancelLoad() | Unload() | Generate() | Cancel():
                self._device_loop.submit(message)
            case Estimate():
                self._estimates.put_nowait(message)
            case _:
                pass  # a newer peer's message: not for us

    def alive(self) -> Alive:
        loop = self._device_loop
        models = loop.models
        num_waiting = sum(model.num_waiting for model in models)
        return Alive(
            loop.step_count, num_waiting, loop.weight_bytes, models, loop.torn_bytes,
            self._device_bytes, self._free_at_start_bytes, loop.remembered_bytes,
        )  # fmt: skip

    async def run(self) -> None:
        """Raises, which ends the process, once the device thread has ended."""
        beside = (self._answer_estimates(), self._resume_answers())
        tasks = [asyncio.create_task(work) for work in beside]
        try:
            while not isinstance(handed_over := await self._handed_over.get(), CortexError):
                self._tell(handed_over)
                await asyncio.sleep(0)  # the heartbeat has its turn, however much has piled up
            raise handed_over
        finally:
            for task in tasks:
                task.cancel()

    async def _answer_estimates(self) -> None:
        """One after the other, beside the device and the heartbeat: headers may be slow to read."""
        while True:
            job = await self._estimates.get()
            try:
                costs = await asyncio.to_thread(self._estimate, job)
            except Exception as error:
                if not isinstance(error, CortexError):
                    log_unexpected(logger, "estimate failed", error)
                self._send(JobFailed(job.job_id, to_info(error)))
            else:
                self._send(Estimated(job.job_id, costs, MAX_SEQUENCES))

    def _estimate(self, job: Estimate) -> ModelCosts:
        wishes = self._wishes.of(job.wishes)
        costs = estimate(Path(job.model_dir), self._device, wishes, job.wishes.pixels)
        give_freed_memory_back()
        return costs

    async def close(self) -> None:
        self._device_loop.close()

    def _drive(self) -> None:
        """The device thread. What it handed over before its end is heard before its end is."""
        ending: CortexError = EngineFailed("the device thread has ended")
        try:
            self._device_loop.run()
        except DevicePoisoned as error:
            ending = error
        self._hand_over(ending)

    def _hand_over(self, handed_over: tuple[DeviceEvent, ...] | CortexError) -> None:
        """Called on the device thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the parent is gone
            self._event_loop.call_soon_threadsafe(self._handed_over.put_nowait, handed_over)

    def _tell(self, events: tuple[DeviceEvent, ...]) -> None:
        """One Step for all tokens of a round; the rest as it comes."""
        parts: list[StepPart] = []
        for event in events:
            match event:
                case NewToken() | Waiting() if self._is_held_back(event):
                    pass
                case NewToken():
                    parts.extend(self._told(event))
                case Started():
                    self._begin(event)
                case ModelLoaded():
                    self._tokenizers[event.loaded.model_id] = event.tokenizer
                    self._send(event.loaded)
                case Unloaded():
                    self._tokenizers.pop(event.model_id, None)
                    self._send(event)
                case GenerateFailed():
                    self._forget((event.request_id, event.epoch))
                    self._send(event)
                case _:
                    self._send(event)
        if parts:
            self._send(Step(tuple(parts)))

    def _begin(self, event: Started) -> None:
        key = (event.request_id, event.epoch)
        try:
            answer = AnswerText(self._tokenizers[event.model_id], event.prompt)
        except Exception as error:
            self._fail(key, error)
            return
        if event.resume_token_ids:
            self._held_back[key] = []
            self._resumed.put_nowait((event, answer))
        else:
            self._answers[key] = answer

    async def _resume_answers(self) -> None:
        """One after the other, beside all that others are told: many long ones may be resumed at
        once, and take seconds.
        """
        while True:
            event, answer = await self._resumed.get()
            key, token_ids = (event.request_id, event.epoch), event.resume_token_ids
            try:
                for start in range(0, len(token_ids), _RESUMED_AT_ONCE):
                    if key not in self._held_back:
                        break  # it has ended meanwhile
                    answer.resume(token_ids[start : start + _RESUMED_AT_ONCE])
                    await asyncio.sleep(0)
                if key in self._held_back:
                    self._answers[key] = answer
                    self._tell(tuple(self._held_back.pop(key)))
            except Exception as error:
                self._fail(key, error)

    def _is_held_back(self, event: NewToken | Waiting) -> bool:
        """Whether it is told later; never, where the peer has cancelled it meanwhile."""
        key = (event.request_id, event.epoch)
        if key not in self._held_back:
            return False
        if isinstance(event, NewToken) and event.finish == "cancelled":
            self._forget(key)
        else:
            self._held_back[key].append(event)
        return True

    def _forget(self, key: tuple[str, int]) -> None:
        self._answers.pop(key, None)
        self._held_back.pop(key, None)

    def _fail(self, key: tuple[str, int], error: Exception) -> None:
        self._forget(key)
        self._send(GenerateFailed(*key, described("text failed", error)))
        self._device_loop.submit(Cancel(*key))

    def _told(self, event: NewToken) -> list[StepPart]:
        """An answer whose tokens make no text ends alone: the others' are told all the same."""
        try:
            return [*self._part(event)]
        except Exception as error:
            self._fail((event.request_id, event.epoch), error)
            return []

    def _part(self, event: NewToken) -> Iterator[StepPart]:
        key = (event.request_id, event.epoch)
        answer = self._answers.get(key)
        if answer is None:
            return  # it ended by its own text while this token was made, or never had any
        token_ids: tuple[int, ...] = ()
        deltas: tuple[Delta, ...] = ()
        logprobs: tuple[TokenLogprob, ...] = ()
        finish = event.finish
        if event.token_id is not None and not answer.is_stopped:
            token_ids, deltas = (event.token_id,), answer.push(event.token_id)
            if event.scores is not None:
                logprobs = answer.spell(event.token_id, event.scores)
        elif event.ended_by is not None and event.scores is not None:
            logprobs = answer.spell_end(event.ended_by, event.scores)
        if event.prompt_scores is not None:
            logprobs = (*answer.spell_prompt(event.prompt_scores), *logprobs)
        if answer.is_stopped and finish != "cancelled":
            finish = "stop"
            self._device_loop.submit(Cancel(*key))
        elif finish is not None:
            deltas += answer.flush(is_cut=finish != "stop")
            if answer.stop_text is not None and finish != "cancelled":
                finish = "stop"
        if finish is not None:
            del self._answers[key]
        usage = None
        if finish is not None:
            usage = replace(answer.usage, cached_tokens=event.num_cached)
        stop_text = answer.stop_text if finish == "stop" else None
        yield StepPart(*key, token_ids, deltas, finish, usage, logprobs, stop_text)


def main() -> None:
    parser = argparse.ArgumentParser(description="cortex engine process, started by a peer")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:N")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket")
    parser.add_argument("--log-level", default="WARNING", help="what is logged, and worse")
    parser.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    parser.add_argument("--memory-bytes", type=int, help="what may be used (default: most of it)")
    parser.add_argument("--engines", type=int, default=1, help="that share the host's memory")
    parser.add_argument("--mode", choices=get_args(ModeWish), default="auto")
    parser.add_argument("--dtype", choices=get_args(DtypeWish), default="auto")
    parser.add_argument("--kernels", choices=get_args(KernelsWish), default="auto")
    parser.add_argument("--speculation", choices=get_args(SpeculationWish), default="auto")
    args = parser.parse_args()
    wishes = Wishes(args.mode, args.dtype, args.kernels, args.speculation)
    keep_freed_memory()
    torch.set_num_threads(args.threads or usable_cores())
    device = torch.device(args.device)

    def make_worker(send: Send) -> Worker:
        open_device(device)
        return Worker(device, wishes, send, args.memory_bytes, args.engines)

    code = 0
    try:
        run_child(args.fd, make_worker, args.log_level)
    except SystemExit as error:
        code = int(error.code or 0)
    # The device thread may be deep in a step: a regular exit would tear it down inside native code,
    # which ends in an abort. The parent is gone, and nothing here has anything left to save.
    os._exit(code)


if __name__ == "__main__":
    main()
