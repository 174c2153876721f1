"""A model read in a thread of its own, so that the device's thread goes on with its steps.

Reading files and packing weights is most of a load, and touches nothing that steps touch. The
thread ends early where its load is cancelled, with nothing of it left in memory. What the model
then serves with is given to it by the device's thread, which is told of the end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from .current_device import make_current
from .errors import DevicePoisoned, ErrorInfo, LoadCancelled
from .failing import described
from .gauge import LoadGauge
from .heap import give_freed_memory_back
from .memory import Share
from .messages import Load, Progress
from .serving import ReadModel, read_model
from .stream import Stage
from .wishes import Wishes

_PROGRESS_INTERVAL_S = 0.1
# Beside steps: whoever waits for a token has the processor first.
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class ReadingEnded:
    """Look at the reading's outcome. It is not told with this: a model that waits in a queue, or in
    the hand of whoever took it from there, cannot be given back.
    """


class Reading:
    """One load, until its model is read. `tell` hears how far it is, `on_end` that it is over; both
    are called on its own thread. `gauge` is made before anything is read.
    """

    def __init__(
        self,
        job: Load,
        device: torch.device,
        share: Share,
        host_bytes: int,
        wishes: Wishes,
        tell: Callable[[Progress], None],
        on_end: Callable[[ReadingEnded], None],
    ) -> None:
        self.job = job
        self.began_s = time.monotonic()
        self.gauge: LoadGauge | None = None
        self.outcome: ReadModel | ErrorInfo | DevicePoisoned | None = None
        self._device, self._wishes = device, wishes.of(job.wishes)
        self._share, self._host_bytes = share, host_bytes
        self._tell, self._on_end = tell, on_end
        self._last_told_s = 0.0
        self._is_cancelled = threading.Event()

    def start(self) -> None:
        # A daemon: it may be deep in a large file when the process is to end.
        threading.Thread(target=self._run, name="load", daemon=True).start()

    def cancel(self) -> None:
        """It ends at the next tensor, unless it has ended."""
        self._is_cancelled.set()

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # Linux alone has it for one thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        self.outcome = self._read()
        if isinstance(self.outcome, ErrorInfo):
            # What the error held of it has gone with the error.
            give_back(self._device)
        self._on_end(ReadingEnded())

    def _read(self) -> ReadModel | ErrorInfo | DevicePoisoned:
        job = self.job
        try:
            make_current(self._device)
            self.gauge = LoadGauge(self._device)
            return read_model(
                Path(job.model_dir), self._device, self._share, self._host_bytes, self._wishes,
                job.wishes.pixels, self._on_progress,
            )  # fmt: skip
        except Exception as error:
            try:
                return described("load failed", error)
            except DevicePoisoned as poison:
                return poison.with_traceback(None)

    def _on_progress(self, done_bytes: int, total_bytes: int) -> None:
        """Raises LoadCancelled where nobody wants it any more."""
        if self._is_cancelled.is_set():
            raise LoadCancelled(f"the load of {self.job.model_id} was cancelled", "order it again")
        now_s = time.monotonic()
        if now_s - self._last_told_s >= _PROGRESS_INTERVAL_S or done_bytes == total_bytes:
            self._last_told_s = now_s
            self._tell(
                Progress(self.job.job_id, Stage("loading", done_bytes, total_bytes, "bytes"))
            )


def give_back(device: torch.device) -> None:
    """To the system, what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    give_freed_memory_back()
