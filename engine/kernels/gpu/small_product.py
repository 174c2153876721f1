"""The product of one to sixteen rows with a weight, in Triton: each weight is read once.

A program takes some outputs and one part of the inputs, for all rows: sixteen, the fewest that
tensor cores multiply, of which those that are not there are zeros. Parts are summed by a second
launch, always in one order, and how many there are depends on the weight's shape alone. So a row's
result has the same bits in any company of up to sixteen.
"""

# What is decorated is in a language of its own, without Python's types.
# pyright: basic
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

MOST_ROWS = 16
_BLOCK_OUT = 32
_BLOCK_IN = 128
# A GPU has some hundred processors; each wants two programs, so that one reads while one waits.
_ENOUGH_PROGRAMS = 256
# A part is long enough for its loads to be under way together.
_LEAST_PART = 4 * _BLOCK_IN
_BLOCK_SUM = 256


@triton.jit(do_not_specialize=["rows"])
def multiply_part(
    x, weight, bias, out, rows, out_features, in_features, part_in,
    has_bias: tl.constexpr, is_whole: tl.constexpr, most_rows: tl.constexpr,
    block_out: tl.constexpr, block_in: tl.constexpr,
):  # fmt: skip
    """out [rows, out] where a program's part is the whole; float32 [parts, rows, out] elsewhere."""
    part = tl.program_id(1)
    row = tl.arange(0, most_rows)
    to = tl.program_id(0) * block_out + tl.arange(0, block_out)
    is_row, is_out = row < rows, to < out_features
    start = part * part_in
    total = tl.zeros((most_rows, block_out), tl.float32)
    for at in range(start, tl.minimum(start + part_in, in_features), block_in):
        each = at + tl.arange(0, block_in)
        is_in = each < in_features
        a = tl.load(
            x + row[:, None] * in_features + each[None, :],
            mask=is_row[:, None] & is_in[None, :], other=0.0,
        )  # fmt: skip
        w = tl.load(
            weight + to[:, None].to(tl.int64) * in_features + each[None, :],
            mask=is_out[:, None] & is_in[None, :], other=0.0,
        )  # fmt: skip
        total = tl.dot(a, tl.trans(w), total, input_precision="ieee")
    place = row[:, None] * out_features + to[None, :]
    is_there = is_row[:, None] & is_out[None, :]
    if is_whole:
        if has_bias:
            total += tl.load(bias + to, mask=is_out, other=0.0).to(tl.float32)[None, :]
        tl.store(out + place, total.to(out.dtype.element_ty), mask=is_there)
    else:
        tl.store(out + part * rows * out_features + place, total, mask=is_there)


@triton.jit(do_not_specialize=["rows"])
def add_parts(
    sums, bias, out, rows, out_features, parts,
    has_bias: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    row, to = tl.program_id(1), tl.program_id(0) * block + tl.arange(0, block)
    is_out = to < out_features
    total = tl.zeros((block,), tl.float32)
    for part in range(parts):
        total += tl.load(sums + (part * rows + row) * out_features + to, mask=is_out, other=0.0)
    if has_bias:
        total += tl.load(bias + to, mask=is_out, other=0.0).to(tl.float32)
    tl.store(out + row * out_features + to, total.to(out.dtype.element_ty), mask=is_out)


_PART_KERNEL: Any = multiply_part
_ADD_KERNEL: Any = add_parts


def part_inputs(out_features: int, in_features: int) -> int:
    """How many inputs a program takes: fewer, while there are too few programs for a GPU."""
    part = -(-in_features // _BLOCK_IN) * _BLOCK_IN
    tiles = -(-out_features // _BLOCK_OUT)
    while tiles * -(-in_features // part) < _ENOUGH_PROGRAMS and part >= 2 * _LEAST_PART:
        part = -(-part // (2 * _BLOCK_IN)) * _BLOCK_IN
    return part


def small_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x @ weight.T + bias for x [1 to 16 rows, in], and weight [out, in], both contiguous."""
    rows, in_features = x.shape
    out_features = weight.shape[0]
    part = part_inputs(out_features, in_features)
    parts = -(-in_features // part)
    out = torch.empty(rows, out_features, dtype=x.dtype, device=x.device)
    sums = out
    if parts > 1:
        sums = torch.empty(parts, rows, out_features, dtype=torch.float32, device=x.device)
    has_bias = bias is not None
    given = weight if bias is None else bias
    _PART_KERNEL[(triton.cdiv(out_features, _BLOCK_OUT), parts)](
        x, weight, given, sums, rows, out_features, in_features, part,
        has_bias, parts == 1, MOST_ROWS, _BLOCK_OUT, _BLOCK_IN, num_warps=4, num_stages=4,
    )  # fmt: skip
    if parts > 1:
        _ADD_KERNEL[(triton.cdiv(out_features, _BLOCK_SUM), rows)](
            sums, given, out, rows, out_features, parts, has_bias, _BLOCK_SUM
        )
    return out
