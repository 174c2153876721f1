"""The device thread: one queue of jobs, and a step of every model that has work.

Everything that touches the device happens here: loads, steps, unloads. What comes out are events,
handed over a round at a time; nobody waits for anybody, and where there is no work the thread
sleeps.
"""

from __future__ import annotations

import gc
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from msgspec.structs import replace

from .cache.store import PrefixStore
from .child import log_unexpected
from .errors import EngineFailed
from .events import DeviceEvent, ModelLoaded, Started
from .frames import unpack_value
from .gauge import LoadGauge
from .generation import choice_sampling
from .heap import give_freed_memory_back
from .machine_memory import available_memory_bytes, cpu_budget_bytes
from .memory import MemoryBudget, Share, check_promised, remembered_bytes
from .messages import (
    Cancel,
    Generate,
    GenerateFailed,
    JobFailed,
    Load,
    Loaded,
    ModelStatus,
    Progress,
    Unload,
    Unloaded,
)
from .poison import poison_of
from .recall import HostStore
from .service import ModelService, described
from .serving import load_service
from .status import ModelCounts
from .types import Prompt, Stage
from .wishes import Wishes

_PROGRESS_INTERVAL_S = 0.1
_CUDA_SHARE = 0.9

logger = logging.getLogger(__name__)

Job = Load | Unload | Generate | Cancel


class DeviceLoop:
    """Start `run` on a thread of its own; `submit` and `close` are for any thread.

    `hand_over` is called on that thread with what happened, all of one round together.
    """

    def __init__(
        self,
        device: torch.device,
        memory_bytes: int | None,
        wishes: Wishes,
        hand_over: Callable[[tuple[DeviceEvent, ...]], None],
    ) -> None:
        """`memory_bytes` is what may be used in all, host copies too on a CPU; None: most of it."""
        self._device = device
        self._memory_bytes = memory_bytes
        self._wishes = wishes
        self._hand_over = hand_over
        self._outbox: list[DeviceEvent] = []
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._store: HostStore = PrefixStore(_remembered_bytes(device, memory_bytes))
        self._services: dict[str, ModelService] = {}
        self._counts: dict[str, ModelCounts] = {}
        # Cached numbers for the heartbeat: read from another thread, never waited for.
        self.step_count = 0
        self.models: tuple[ModelStatus, ...] = ()
        self._budgets: dict[str, MemoryBudget] = {}

    @property
    def weight_bytes(self) -> int:
        return sum(budget.costs.weights_bytes for budget in self._budgets.copy().values())

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        self._closing.set()
        self._jobs.put(None)

    def run(self) -> None:
        """Returns when closed, or after a bug: the thread's end is what its owner sees of it.

        Raises DevicePoisoned: what it held then is its owner's to hand back.
        """
        try:
            while not self._closing.is_set():
                self._take_jobs()
                for model_id, service in self._services.items():
                    if service.has_work:
                        self._step(service, self._counts[model_id])
                self.models = tuple(self._statuses())
                self._flush()
        except Exception as error:
            if (poison := poison_of(error)) is not None:
                raise poison from None
            log_unexpected(logger, "device thread ended", error)

    def _step(self, service: ModelService, counts: ModelCounts) -> None:
        began_s, num_preemptions = time.monotonic(), service.num_preemptions
        self._emit(*service.step(began_s))
        counts.steps.add(time.monotonic() - began_s)
        counts.num_preemptions += service.num_preemptions - num_preemptions
        self.step_count += 1

    def _statuses(self) -> Iterator[ModelStatus]:
        for model_id, counts in self._counts.items():
            counted, service = counts.status(model_id), self._services.get(model_id)
            yield counted if service is None else service.status(counted)

    def _emit(self, *events: DeviceEvent) -> None:
        self._outbox.extend(events)

    def _flush(self) -> None:
        if self._outbox:
            self._hand_over(tuple(self._outbox))
            self._outbox.clear()

    def _take_jobs(self) -> None:
        """All jobs that are there; waits for one where nothing runs."""
        is_idle = not any(service.has_work for service in self._services.values())
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
                    self._start(job)
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

        gauge = LoadGauge(self._device)
        try:
            loaded = load_service(
                Path(job.model_dir), self._device, self._store, self._share(job),
                self._wishes.of(job.wishes), on_progress, job.wishes.pixels,
            )  # fmt: skip
        except Exception as error:
            self._emit(JobFailed(job.job_id, described("load failed", error)))
            self._give_back()
            return
        self._services[job.model_id] = loaded.service
        self._counts.setdefault(job.model_id, ModelCounts())
        self._budgets[job.model_id] = budget = loaded.budget
        seconds = time.monotonic() - started_s
        measured_bytes = gauge.taken_bytes()
        ready = Loaded(
            job.job_id, job.model_id, budget.costs.weights_bytes, seconds, loaded.computes_in,
            budget.parts(), budget.num_sequences, measured_bytes,
            gauge.expected_bytes(budget) if measured_bytes else 0,
        )  # fmt: skip
        self._emit(ModelLoaded(ready, loaded.tokenizer))

    def _share(self, job: Load) -> Share:
        """What a model is given. Raises InsufficientVram where others have what was promised it."""
        free_bytes = self._free_bytes()
        num_bytes = free_bytes if job.memory_bytes is None else job.memory_bytes
        is_bounded = self._device.type == "cuda" or self._memory_bytes is not None
        if is_bounded:
            check_promised(job.model_id, num_bytes, free_bytes)
        return Share(num_bytes, job.context_tokens, job.max_sequences, job.learned)

    def _free_bytes(self) -> int:
        """What a model may use of the device, beside those that are there."""
        reserved_bytes = sum(budget.used_bytes for budget in self._budgets.values())
        if self._device.type == "cuda":
            free_bytes, _ = torch.cuda.mem_get_info(self._device)
            most = int(free_bytes * _CUDA_SHARE)
            if self._memory_bytes is None:
                return most
            return min(most, self._memory_bytes - reserved_bytes)
        all_bytes = self._memory_bytes
        if all_bytes is None:
            held_bytes = sum(budget.costs.loaded_bytes for budget in self._budgets.values())
            all_bytes = cpu_budget_bytes(available_memory_bytes() + held_bytes)
        return all_bytes - self._store.stats.budget_bytes - reserved_bytes

    def _unload(self, job: Unload) -> None:
        service = self._services.pop(job.model_id, None)
        if service is not None:
            self._emit(*service.fail_all(EngineFailed(f"model {job.model_id} was unloaded.")))
            del self._budgets[job.model_id], service
        self._give_back()
        self._emit(Unloaded(job.job_id, job.model_id))

    def _give_back(self) -> None:
        """To the system, what nobody holds any more."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        give_freed_memory_back()

    def _start(self, job: Generate) -> None:
        service = self._services.get(job.model_id)
        try:
            if service is None:
                raise EngineFailed(f"model {job.model_id} is not loaded here.")
            prompt = unpack_value(Prompt, job.prompt)
            prompt = replace(prompt, sampling=choice_sampling(prompt.sampling, job.choice))
            service.add(job, prompt, time.monotonic())
        except Exception as error:
            info = described("start failed", error)
            self._emit(GenerateFailed(job.request_id, job.epoch, info))
            return
        if prompt.pooling is not None:
            return  # no tokens will come, and so there is no text to be made
        without_pictures = replace(prompt, images=())
        self._emit(
            Started(job.request_id, job.epoch, job.model_id, without_pictures, job.resume_token_ids)
        )

    def _cancel(self, job: Cancel) -> None:
        for service in self._services.values():
            self._emit(*service.cancel(job.request_id, job.epoch))


def _remembered_bytes(device: torch.device, memory_bytes: int | None) -> int:
    """A quarter of the host memory that there is for us is for what was read before."""
    if device.type == "cpu" and memory_bytes is not None:
        return remembered_bytes(memory_bytes)
    return remembered_bytes(cpu_budget_bytes(available_memory_bytes()))
