"""Work recorded as CUDA graphs. It never ran: no machine with a GPU has seen this file."""

from __future__ import annotations

from collections.abc import Callable

import torch

# Of the device's memory so much stays free: what graphs take is in nobody's budget.
_LEAST_FREE_BYTES = 1 << 30


class CudaCapture:
    """See graphs.Capture. All graphs share one pool of memory: no two ever run at once, and none
    leaves a result there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            self._stream = torch.cuda.Stream(device)

    @property
    def has_room(self) -> bool:
        free_bytes, _ = torch.cuda.mem_get_info(self._device)
        return free_bytes >= _LEAST_FREE_BYTES

    def __call__(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # Other threads go on meanwhile: one may be reading another model's weights. Where recording
        # fails, torch leaves its stream the current one: it is set back here in any case.
        with (
            torch.cuda.device(self._device),
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ),
        ):
            work()
        return graph
