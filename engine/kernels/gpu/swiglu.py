"""silu(gate) * up in one Triton kernel, float32 inside and rounded once.

Both are what one product gave, side by side in its rows, and are read where they lie.
"""

# What is decorated is in a language of its own, without Python's types.
# pyright: basic
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

# Four warps, of which each thread reads sixteen bytes of bfloat16 of either at once. Few rows have
# some thousand values each, so that there are programs for a good part of a GPU.
_BLOCK = 1024


@triton.jit
def _silu_times(gates, ups, outs, gate_stride, up_stride, size: tl.constexpr, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    each = tl.program_id(1) * block + tl.arange(0, block)
    is_there = each < size
    gate = tl.load(gates + row * gate_stride + each, mask=is_there, other=0.0).to(tl.float32)
    up = tl.load(ups + row * up_stride + each, mask=is_there, other=0.0).to(tl.float32)
    y = gate * tl.sigmoid(gate) * up
    tl.store(outs + row * size + each, y.to(outs.dtype.element_ty), mask=is_there)


_KERNEL: Any = _silu_times


def silu_times(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Both [..., size], the last dimension contiguous; like them, and contiguous."""
    size = gate.shape[-1]
    gates, ups = gate.reshape(-1, size), up.reshape(-1, size)
    out = torch.empty(gate.shape, dtype=gate.dtype, device=gate.device)
    _KERNEL[(gates.shape[0], triton.cdiv(size, _BLOCK))](
        gates, ups, out, gates.stride(0), ups.stride(0), size, _BLOCK, num_warps=4
    )
    return out
