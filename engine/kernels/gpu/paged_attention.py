"""Attention of a step's new tokens over pages, in Triton: partial sums, then one sum of them.

A program takes one part of one sequence for one head of keys and values, and with it all the query
heads that share the head, of all the sequence's new tokens. Parts have one size, whatever the
batch: what is computed of a sequence depends on no other. Keys and values are read once.
"""

# What is decorated is in a language of its own, without Python's types.
# pyright: basic
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

# In tokens. Smaller parts keep more of a GPU busy when few sequences run, and cost more sums.
PART_TOKENS = 256
# How many partial sums are added up at a time: fixed, so that a row's order of summation is.
_PARTS_AT_ONCE = 16
# tl.dot takes no fewer rows. Of float32, which tensor cores do not multiply exactly, no more pay.
_LEAST_ROWS = 16
_MOST_ROWS = {torch.float32: 16, torch.bfloat16: 64, torch.float16: 64}
_LOG2_E = 1.4426950408889634


# What differs from step to step must not be compiled again.
@triton.jit(do_not_specialize=["page_stride", "num_new", "num_parts"])
def _attend_part(
    queries, keys, values, pages, lengths, sums, weights,
    scale_log2, page_stride, num_new, num_parts,
    page_tokens: tl.constexpr, heads: tl.constexpr, kv_heads: tl.constexpr, dim: tl.constexpr,
    part_tokens: tl.constexpr, block_rows: tl.constexpr, block_dim: tl.constexpr,
    block_tokens: tl.constexpr,
):  # fmt: skip
    """sums [sequence, new, head, part, dim] and weights [.., part, 2]: largest score, and sum."""
    sequence, kv_head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + sequence).to(tl.int32)
    start = part * part_tokens
    if start >= length:
        return
    group: tl.constexpr = heads // kv_heads
    row = tl.arange(0, block_rows)
    is_row = row < num_new * group
    new = row // group
    at = (sequence * num_new + new) * heads + kv_head * group + row % group
    each = tl.arange(0, block_dim)
    is_dim = each < dim
    q = tl.load(
        queries + at[:, None] * dim + each, mask=is_row[:, None] & is_dim[None, :], other=0.0
    )
    last_seen = length - num_new + new
    most = tl.full((block_rows,), float("-inf"), tl.float32)
    total = tl.zeros((block_rows,), tl.float32)
    out = tl.zeros((block_rows, block_dim), tl.float32)
    token = tl.arange(0, block_tokens)
    for block in range(start, tl.minimum(start + part_tokens, length), block_tokens):
        # A block lies in one page.
        page = tl.load(pages + sequence * page_stride + block // page_tokens).to(tl.int64)
        rows = page * page_tokens + block % page_tokens + token
        is_token = block + token < length
        place = (rows[:, None] * kv_heads + kv_head) * dim + each
        is_there = is_token[:, None] & is_dim[None, :]
        k = tl.load(keys + place, mask=is_there, other=0.0)
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2
        sees = is_token[None, :] & (block + token[None, :] <= last_seen[:, None])
        score = tl.where(sees, score, float("-inf"))
        larger = tl.maximum(most, tl.max(score, 1))
        # A row that has seen nothing yet keeps -inf: two of those have no difference.
        base = tl.where(larger == float("-inf"), 0.0, larger)
        share = tl.exp2(score - base[:, None])
        shrink = tl.exp2(most - base)
        total = total * shrink + tl.sum(share, 1)
        v = tl.load(values + place, mask=is_there, other=0.0)
        out = out * shrink[:, None] + tl.dot(share.to(v.dtype), v, input_precision="ieee")
        most = larger
    to = at.to(tl.int64) * num_parts + part
    tl.store(sums + to[:, None] * dim + each, out, mask=is_row[:, None] & is_dim[None, :])
    tl.store(weights + 2 * to, most, mask=is_row)
    tl.store(weights + 2 * to + 1, total, mask=is_row)


@triton.jit(do_not_specialize=["num_new", "num_parts"])
def _add_parts(
    sums, weights, lengths, outs, num_new, num_parts, heads: tl.constexpr, dim: tl.constexpr,
    part_tokens: tl.constexpr, block_dim: tl.constexpr, at_once: tl.constexpr,
):  # fmt: skip
    """outs [sequence, new, head, dim], zeros for a sequence without tokens."""
    row = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + row // (num_new * heads)).to(tl.int32)
    used = tl.cdiv(length, part_tokens)
    each = tl.arange(0, block_dim)
    is_dim = each < dim
    most = float("-inf")
    total = 0.0
    out = tl.zeros((block_dim,), tl.float32)
    for first in range(0, used, at_once):
        part = first + tl.arange(0, at_once)
        is_part = part < used
        place = row * num_parts + part
        part_most = tl.load(weights + 2 * place, mask=is_part, other=float("-inf"))
        part_total = tl.load(weights + 2 * place + 1, mask=is_part, other=0.0)
        part_out = tl.load(
            sums + place[:, None] * dim + each, mask=is_part[:, None] & is_dim[None, :], other=0.0
        )
        # Of the first part every row has seen something: there is a largest score.
        larger = tl.maximum(most, tl.max(part_most, 0))
        share = tl.exp2(part_most - larger)
        shrink = tl.exp2(most - larger)
        total = total * shrink + tl.sum(share * part_total, 0)
        out = out * shrink + tl.sum(share[:, None] * part_out, 0)
        most = larger
    out = out / tl.where(total == 0.0, 1.0, total)
    tl.store(outs + row * dim + each, out.to(outs.dtype.element_ty), mask=is_dim)


_PART_KERNEL: Any = _attend_part
_ADD_KERNEL: Any = _add_parts


def can_attend(q: torch.Tensor, kv_heads: int, page_tokens: int) -> bool:
    """Whether these sizes are served: few new tokens, and heads and pages as models have them."""
    _, num_new, heads, dim = q.shape
    rows_fit = num_new * (heads // kv_heads) <= _MOST_ROWS.get(q.dtype, 0)
    return rows_fit and 16 <= dim <= 256 and page_tokens in (16, 32, 64, 128, 256)


def paged_attention(
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    pages: torch.Tensor,
    lengths: torch.Tensor,
    longest: int,
    page_tokens: int,
    scale: float,
) -> torch.Tensor:
    """q [sequences, new tokens, heads, dim], contiguous; keys, values [rows, kv heads, dim], of all
    pages; pages [sequences, most pages]; lengths [sequences], new tokens counted, of which none is
    greater than `longest`. Like q; zeros where a length is 0.
    """
    sequences, num_new, heads, dim = q.shape
    kv_heads = keys.shape[1]
    num_parts = -(-longest // PART_TOKENS)
    rows = sequences * num_new * heads
    sums = torch.empty(rows, num_parts, dim, dtype=torch.float32, device=q.device)
    weights = torch.empty(rows, num_parts, 2, dtype=torch.float32, device=q.device)
    out = torch.empty_like(q)
    block_dim = _power_of_2(dim)
    block_rows = max(_LEAST_ROWS, _power_of_2(num_new * (heads // kv_heads)))
    _PART_KERNEL[(sequences, kv_heads, num_parts)](
        q, keys, values, pages, lengths, sums, weights,
        scale * _LOG2_E, pages.stride(0), num_new, num_parts, page_tokens, heads, kv_heads, dim,
        PART_TOKENS, block_rows, block_dim,
        _block_tokens(q.dtype, block_rows, block_dim, page_tokens), num_warps=4, num_stages=2,
    )  # fmt: skip
    _ADD_KERNEL[(rows,)](
        sums, weights, lengths, out, num_new, num_parts, heads, dim, PART_TOKENS, block_dim,
        _PARTS_AT_ONCE, num_warps=2,
    )  # fmt: skip
    return out


def _power_of_2(count: int) -> int:
    """The least that is no less."""
    return 1 << (count - 1).bit_length()


def _block_tokens(dtype: torch.dtype, block_rows: int, block_dim: int, page_tokens: int) -> int:
    """How many tokens are read at a time, of one page: 32 KiB of keys, or where there are many rows
    16, so that all fits into the 99 KiB that the smaller GPUs of a generation share in a block.
    """
    num_bytes = (32 << 10) if block_rows == _LEAST_ROWS else (16 << 10)
    return min(page_tokens, 64, max(16, num_bytes // (dtype.itemsize * block_dim)))
