"""The engine process: `python -m cortex.engine.worker --device cpu --fd N`.

Its main thread reads jobs from the peer, turns tokens into text and sends steps (`texts.py`); the
device thread does everything else (`loop.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import get_args

import torch

from .child import Send, log_unexpected, run_child
from .cores import usable_cores
from .costs import ModelCosts
from .current_device import open_device
from .errors import CortexError, DevicePoisoned, EngineFailed, to_info
from .estimating import estimate
from .events import DeviceEvent
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
    JobFailed,
    Load,
    Message,
    Unload,
)
from .texts import Texts
from .wishes import DtypeWish, KernelsWish, ModeWish, SpeculationWish, Wishes

logger = logging.getLogger(__name__)


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
        self._event_loop = asyncio.get_running_loop()
        # By the device thread, and the last one why that has ended.
        self._handed_over: asyncio.Queue[tuple[DeviceEvent, ...] | CortexError] = asyncio.Queue()
        self._device_loop = DeviceLoop(device, memory_bytes, wishes, self._hand_over, num_engines)
        self._texts = Texts(send, self._device_loop.submit)
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
        beside = (self._answer_estimates(), self._texts.catch_up())
        tasks = [asyncio.create_task(work) for work in beside]
        try:
            while not isinstance(handed_over := await self._handed_over.get(), CortexError):
                self._texts.tell(handed_over)
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
