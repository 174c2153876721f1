"""Functions of single values whose result does not depend on what stands beside them.

On a CPU torch computes most values in vectors and the last few one by one, with other last bits:
in a narrow tensor a row's bits would depend on how many rows there are. Padding to whole vectors
leaves none to be computed one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

# Two AVX-512 registers of float32, the most that torch's CPU loops take at a time.
_VECTOR_VALUES = 32


def in_whole_vectors(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """function(x), a function of each value alone; like x."""
    if x.device.type != "cpu":
        return function(x)
    x = x.contiguous()  # between rows that lie apart there are ends of rows, too
    missing = -x.numel() % _VECTOR_VALUES
    if not missing:
        return function(x)
    padded = functional.pad(x.reshape(-1), (0, missing))
    return function(padded)[: x.numel()].view(x.shape)
