"""Work recorded as CUDA graphs. It never ran: no machine with a GPU has seen this file."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

import torch

from ..gauge import gpu_memory

# Of the device's memory so much stays free: what graphs take is in nobody's budget.
_LEAST_FREE_BYTES = 1 << 30
# Each step asks for it, and files are read for that where a GPU has the machine's memory.
_LOOK_S = 1.0


class CudaCapture:
    """See graphs.Capture. All graphs share one pool of memory: no two ever run at once, and none
    leaves a result there.
    """

    def __init__(self, device: torch.device, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._device = device
        self._clock_s = clock_s
        self._has_room, self._look_again_s = False, float("-inf")
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
        self._stream = _recording_stream(device)

    @property
    def has_room(self) -> bool:
        if (now_s := self._clock_s()) >= self._look_again_s:
            self._look_again_s = now_s + _LOOK_S
            self._has_room = gpu_memory(self._device)[0] >= _LEAST_FREE_BYTES
        return self._has_room

    def __call__(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        self._look_again_s = float("-inf")
        graph = torch.cuda.CUDAGraph()
        # Other threads go on meanwhile: one may be reading another model's weights. Where recording
        # fails, torch leaves its stream the current one: it is set back here in any case.
        try:
            with (
                torch.cuda.device(self._device),
                torch.cuda.stream(torch.cuda.current_stream(self._device)),
                torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
                ),
            ):
                work()
        except Exception:
            self._end_recording()
            raise
        return graph

    def _end_recording(self) -> None:
        """Where recording fails torch 2.11 goes on to think of this pool as recorded to: it would
        give no freed memory back to the device any more, and refuse to record here again.
        """
        index = self._device.index or 0
        # What has ended already is an error to it; an older or newer torch may not have the call.
        with suppress(RuntimeError, AttributeError):
            cast("Any", torch)._C._cuda_endAllocateToPool(index, self._pool)


@lru_cache
def _recording_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all models: cuBLAS keeps memory for each stream until the process ends."""
    return torch.cuda.Stream(device)
