"""How the tokens of a step come to the host while the device goes on. It never ran: no machine
with a GPU has seen this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch

# Token ids int64 [rows] of a step that was launched just now, to what waits for them. What comes is
# of that step, though later ones write over the tensor.
Arrive = Callable[[torch.Tensor], Callable[[], list[int]]]


def arrive_from_cuda(drawn: torch.Tensor) -> Callable[[], list[int]]:
    """See Arrive: a copy into pinned memory, behind the step and before the next."""
    copy = torch.empty_like(drawn, device="cpu", pin_memory=True)
    copy.copy_(drawn, non_blocking=True)
    arrived = torch.cuda.current_stream(drawn.device).record_event()

    def read() -> list[int]:
        arrived.synchronize()
        return cast("list[int]", copy.tolist())

    return read
