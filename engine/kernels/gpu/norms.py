"""RMS norms of rows, in one Triton kernel, which may add what is new to a row before.

The sum is rounded to its dtype first, as whoever reads it later sees it, and the norm is that of
what was rounded; float32 inside. A program is a whole row, and how it is computed depends on the
row's size alone: a row has the same bits in any company.
"""

# What is decorated is in a language of its own, without Python's types.
# pyright: basic
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ...layers.operations import NormWeights

# A thread then reads sixteen bytes of bfloat16 at once.
_VALUES_A_THREAD = 8
_MOST_WARPS = 16


@triton.jit
def _rms_norm(
    x, update, weight, total, normed, offset, eps,
    size: tl.constexpr, has_update: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * size
    each = tl.arange(0, block)
    is_there = each < size
    read = tl.load(x + row + each, mask=is_there, other=0.0)
    if has_update:
        new = tl.load(update + row + each, mask=is_there, other=0.0)
        read = (read.to(tl.float32) + new.to(tl.float32)).to(total.dtype.element_ty)
        tl.store(total + row + each, read, mask=is_there)
    values = read.to(tl.float32)
    scale = offset + tl.load(weight + each, mask=is_there, other=0.0).to(tl.float32)
    y = values * tl.rsqrt(tl.sum(values * values, 0) / size + eps) * scale
    tl.store(normed + row + each, y.to(normed.dtype.element_ty), mask=is_there)


_KERNEL: Any = _rms_norm


def rms_norm(x: torch.Tensor, norm: NormWeights) -> torch.Tensor:
    """x [..., size]; like it, and contiguous."""
    return _normed(x, None, norm)[1]


def add_rms_norm(
    x: torch.Tensor, update: torch.Tensor, norm: NormWeights
) -> tuple[torch.Tensor, torch.Tensor]:
    """x + update, and that normed; both of one dtype, [..., size]. Nothing is written in place."""
    return _normed(x, update, norm)


def _normed(
    x: torch.Tensor, update: torch.Tensor | None, norm: NormWeights
) -> tuple[torch.Tensor, torch.Tensor]:
    # With strides to be told a row alone would be read by other code, and summed up to other bits.
    x, size = x.contiguous(), x.shape[-1]
    normed = torch.empty_like(x)
    total = x if update is None else torch.empty_like(x)
    block = triton.next_power_of_2(size)
    _KERNEL[(x.numel() // size,)](
        x, x if update is None else update.contiguous(), norm.weight, total, normed,
        norm.offset, norm.eps, size, update is not None, block,
        num_warps=min(max(block // (32 * _VALUES_A_THREAD), 1), _MOST_WARPS),
    )  # fmt: skip
    return total, normed
