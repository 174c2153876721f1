"""The device thread: one queue of jobs, and a step of every model that has work.

Steps and unloads happen here, and the end of every load; what a load reads is read beside it
(`reading.py`). What comes out are events, handed over a round at a time; nobody waits for anybody,
and where there is no work the thread sleeps.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import torch
from msgspec.structs import replace

from .arrival import Arrival, arrivals
from .cache.store import PrefixStore
from .child import log_unexpected
from .current_device import make_current
from .errors import CortexError, DevicePoisoned, EngineFailed, ErrorInfo, LoadCancelled, to_info
from .events import DeviceEvent, ModelLoaded, Started
from .failing import described
from .gauge import gpu_memory, shares_memory, torn_bytes
from .machine_memory import available_memory_bytes, cpu_budget_bytes
from .memory import MemoryBudget, Share, check_promised, remembered_bytes
from .messages import (
    Cancel,
    CancelLoad,
    Generate,
    GenerateFailed,
    JobFailed,
    Load,
    Loaded,
    ModelStatus,
    Unload,
    Unloaded,
)
from .poison import poison_of
from .reading import Reading, ReadingEnded, give_back
from .recall import HostStore
from .service import ModelService
from .serving import open_service
from .status import ModelCounts
from .wishes import Wishes

_CUDA_SHARE = 0.9
# Requests of so much are taken in between two steps: numbers take milliseconds to be read, and many
# agents may send theirs at once.
_TAKEN_IN_TOKENS = 200_000

logger = logging.getLogger(__name__)

Job = Load | CancelLoad | Unload | Generate | Cancel


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
        num_engines: int = 1,
    ) -> None:
        """`memory_bytes` is what may be used in all, host copies too on a CPU; None: most of it.
        The host's memory is for `num_engines` like this one.
        """
        self._device = device
        self._memory_bytes = memory_bytes
        self._wishes = wishes
        self._hand_over = hand_over
        self._outbox: list[DeviceEvent] = []
        self._jobs: queue.SimpleQueue[Job | ReadingEnded | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._store: HostStore = PrefixStore(_remembered_bytes(device, memory_bytes, num_engines))
        # Requests that no step could wait for yet.
        self._arrived: list[Arrival] = []
        self._moves: deque[Load | Unload] = deque()
        self._reading: Reading | None = None
        # How many there were when the load began.
        self._steps_before = 0
        self._services: dict[str, ModelService] = {}
        self._counts: dict[str, ModelCounts] = {}
        # Cached numbers for the heartbeat: read from another thread, never waited for.
        self.step_count = 0
        self.models: tuple[ModelStatus, ...] = ()
        self.torn_bytes = 0
        self._budgets: dict[str, MemoryBudget] = {}

    @property
    def remembered_bytes(self) -> int:
        """What of the device's memory may become what was read before; 0 where that lies beside."""
        lies_there = self._device.type == "cpu" or shares_memory(self._device)
        return self._store.budget_bytes if lies_there else 0

    @property
    def weight_bytes(self) -> int:
        return sum(budget.costs.weights_bytes for budget in self._budgets.copy().values())

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        self._closing.set()
        self._jobs.put(None)
        if (reading := self._reading) is not None:
            reading.cancel()

    def run(self) -> None:
        """Returns when closed, or after a bug: the thread's end is what its owner sees of it.

        Raises DevicePoisoned: what it held then is its owner's to hand back.
        """
        try:
            make_current(self._device)
            while not self._closing.is_set():
                self._take_jobs()
                self._step_all()
                self.models = tuple(self._statuses())
                self._flush()
        except Exception as error:
            if (poison := poison_of(error)) is not None:
                raise poison from None
            log_unexpected(logger, "device thread ended", error)

    def _step_all(self) -> None:
        """Its own function: a name that stays bound to a model keeps it from being given back."""
        for model_id, service in self._services.items():
            if service.has_work:
                self._step(service, self._counts[model_id])

    def _step(self, service: ModelService, counts: ModelCounts) -> None:
        began_s = time.monotonic()
        self._emit(*service.step(began_s, self._tell))
        counts.steps.add(time.monotonic() - began_s)
        self._progressed()

    def _progressed(self, *_: object) -> None:
        self.step_count += 1

    def _statuses(self) -> Iterator[ModelStatus]:
        for model_id, counts in self._counts.items():
            counted, service = counts.status(model_id), self._services.get(model_id)
            yield counted if service is None else service.status(counted)

    def _emit(self, *events: DeviceEvent) -> None:
        self._outbox.extend(events)

    def _tell(self, events: list[DeviceEvent]) -> None:
        self._emit(*events)
        self._flush()

    def _flush(self) -> None:
        if self._outbox:
            self._hand_over(tuple(self._outbox))
            self._outbox.clear()

    def _take_jobs(self) -> None:
        """All jobs that are there, but of requests as many as a step may wait for; waits for a job
        where nothing runs.
        """
        has_work = any(service.has_work for service in self._services.values())
        is_idle = not self._arrived and not has_work
        while not self._closing.is_set():
            try:
                job = self._jobs.get(block=is_idle)
            except queue.Empty:
                break
            is_idle = False
            match job:
                case Load() | Unload():
                    self._move(job)
                case CancelLoad():
                    self._cancel_load(job)
                case ReadingEnded():
                    self._end_load()
                case Generate():
                    self._arrived.extend(arrivals(job))
                case Cancel():
                    self._cancel(job)
                case None:
                    return
            self._begin_next()
            self._flush()
        self._start_arrived()

    def _start_arrived(self) -> None:
        """The most pressing first."""
        room_tokens = _TAKEN_IN_TOKENS
        while self._arrived and room_tokens > 0 and not self._closing.is_set():
            arrival = min(self._arrived, key=lambda arrival: arrival.wanted.priority)
            self._arrived.remove(arrival)
            room_tokens -= self._start(arrival)
            self._flush()

    def _begin_next(self) -> None:
        """Of the models that are to come and go, one after the other: loads are begun, and end in
        `_end_load`.
        """
        while self._moves and self._reading is None:
            job = self._moves.popleft()
            if isinstance(job, Unload):
                self._unload(job)
                continue
            try:
                share = self._share(job)
            except CortexError as error:
                self._emit(JobFailed(job.job_id, to_info(error)))
                continue
            self._reading = Reading(
                job, self._device, share, self._store.budget_bytes, self._wishes,
                lambda told: self._hand_over((told,)), self._jobs.put,
            )  # fmt: skip
            self._steps_before = self.step_count
            self._reading.start()

    def _move(self, job: Load | Unload) -> None:
        """In the order of its model's other jobs; what concerns others need not wait for a load."""
        pending = [each.model_id for each in self._moves]
        if self._reading is not None:
            pending.append(self._reading.job.model_id)
        if isinstance(job, Unload) and job.model_id not in pending:
            self._unload(job)
        else:
            self._moves.append(job)

    def _cancel_load(self, job: CancelLoad) -> None:
        if self._reading is not None and self._reading.job.job_id == job.job_id:
            self._reading.cancel()
        for load in [each for each in self._moves if each.job_id == job.job_id]:
            self._moves.remove(load)
            error = LoadCancelled(f"the load of {load.model_id} was cancelled", "order it again")
            self._emit(JobFailed(job.job_id, to_info(error)))

    def _end_load(self) -> None:
        """Give a model that was read its memory, or tell why it was not."""
        reading, self._reading = self._reading, None
        assert reading is not None, "a load ends once"
        job, failure = reading.job, self._opened(reading)
        if failure is not None:
            del reading
            give_back(self._device)
            self._emit(JobFailed(job.job_id, failure))

    def _opened(self, reading: Reading) -> ErrorInfo | None:
        """What the load failed with, if it did."""
        job, gauge, read = reading.job, reading.gauge, reading.outcome
        if isinstance(read, DevicePoisoned):
            raise read
        if isinstance(read, ErrorInfo):
            return read
        assert gauge is not None and read is not None, "it has ended"
        try:
            loaded = open_service(read, self._device, self._store)
        except Exception as error:
            return described("load failed", error)
        self._services[job.model_id] = loaded.service
        for part in read.model.slow_parts:
            part.register_forward_hook(self._progressed)
        loaded.service.counts = self._counts.setdefault(job.model_id, ModelCounts())
        self._budgets[job.model_id] = budget = loaded.budget
        seconds = time.monotonic() - reading.began_s
        # What others' steps took meanwhile cannot be told from what the load did.
        is_alone = self.step_count == self._steps_before
        measured_bytes = gauge.taken_bytes() if is_alone else 0
        ready = Loaded(
            job.job_id, job.model_id, budget.costs.weights_bytes, seconds, loaded.computes_in,
            budget.parts(), budget.num_sequences, measured_bytes,
            gauge.expected_bytes(budget) if measured_bytes else 0,
        )  # fmt: skip
        self._emit(ModelLoaded(ready, loaded.tokenizer))
        return None

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
            free_bytes, _ = gpu_memory(self._device)
            kept_bytes = self._store.used_bytes + self._store.reserved_bytes
            to_come = max(0, self.remembered_bytes - kept_bytes)
            most = int((free_bytes - to_come) * _CUDA_SHARE)
            if self._memory_bytes is None:
                return most
            return min(most, self._memory_bytes - self.remembered_bytes - reserved_bytes)
        all_bytes = self._memory_bytes
        if all_bytes is None:
            held_bytes = sum(budget.costs.loaded_bytes for budget in self._budgets.values())
            all_bytes = cpu_budget_bytes(available_memory_bytes() + held_bytes)
        return all_bytes - self.remembered_bytes - reserved_bytes

    def _unload(self, job: Unload) -> None:
        service = self._services.pop(job.model_id, None)
        if service is not None:
            self._emit(*service.fail_all(EngineFailed(f"model {job.model_id} was unloaded.")))
            del self._budgets[job.model_id], service
        give_back(self._device)
        if self._device.type == "cuda":
            self.torn_bytes = torn_bytes(torch.cuda.memory_stats(self._device))
        self._emit(Unloaded(job.job_id, job.model_id))

    def _start(self, arrival: Arrival) -> int:
        """How many tokens were read for it."""
        model_id, wanted = arrival.model_id, arrival.wanted
        service, num_tokens = self._services.get(model_id), 0
        try:
            if service is None:
                raise EngineFailed(f"model {model_id} is not loaded here.")
            prompt = arrival.prompt()
            num_tokens = len(prompt.token_ids)
            service.add(wanted, prompt, time.monotonic())
        except Exception as error:
            info = described("start failed", error)
            self._emit(GenerateFailed(*arrival.key, info))
            return num_tokens
        if prompt.pooling is not None:
            return num_tokens  # no tokens will come, and so there is no text to be made
        without_pictures = replace(prompt, images=())
        self._emit(Started(*arrival.key, model_id, without_pictures, wanted.resume_token_ids))
        return num_tokens

    def _cancel(self, job: Cancel) -> None:
        key = (job.request_id, job.epoch)
        for arrived in [each for each in self._arrived if each.key == key]:
            self._arrived.remove(arrived)
            self._start(arrived)  # its end is told of as every other's
        for service in self._services.values():
            self._emit(*service.cancel(job.request_id, job.epoch))


def _remembered_bytes(device: torch.device, memory_bytes: int | None, num_engines: int) -> int:
    """A quarter of the host memory that there is for us all is for what was read before."""
    if device.type == "cpu" and memory_bytes is not None:
        # Which may be given more than the machine has.
        return remembered_bytes(min(memory_bytes, available_memory_bytes()))
    most_bytes = remembered_bytes(cpu_budget_bytes(available_memory_bytes())) // num_engines
    if memory_bytes is not None and shares_memory(device):
        return min(most_bytes, remembered_bytes(memory_bytes))
    return most_bytes
