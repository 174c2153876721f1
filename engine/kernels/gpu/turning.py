"""What a step does to new queries, keys and values before attention, in one Triton kernel.

Each head of queries and keys is normed and turned as its positions say; keys and values go to their
places in the pages. Which frequency follows which axis of M-RoPE is in cos and sin already: they
are made once a step, for all layers.
"""

# What is decorated is in a language of its own, without Python's types.
# pyright: basic
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ...layers.operations import NormWeights, Turn


# What differs from step to step must not be compiled again.
@triton.jit(do_not_specialize=["page_stride", "num_new"])
def _turn(
    queries, keys, values, query_weights, key_weights, cos, sin, pages, lengths,
    turned, kept_keys, kept_values,
    query_row_stride, query_stride, key_row_stride, key_stride, value_row_stride, value_stride,
    page_stride, query_offset, key_offset, query_eps, key_eps, num_new,
    page_tokens: tl.constexpr, heads: tl.constexpr, kv_heads: tl.constexpr, dim: tl.constexpr,
    turning: tl.constexpr, has_norms: tl.constexpr, block_dim: tl.constexpr,
):  # fmt: skip
    """A program is one head of one token: of queries first, then of keys, then of values."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    each = tl.arange(0, block_dim)
    is_dim = each < dim
    sequence = row // num_new
    length = tl.load(lengths + sequence).to(tl.int32)
    if length == 0:
        return
    position = length - num_new + (row % num_new).to(tl.int32)
    page = tl.load(pages + sequence * page_stride + position // page_tokens).to(tl.int64)
    kept_row = page * page_tokens + position % page_tokens
    if head >= heads + kv_heads:
        kv_head = head - heads - kv_heads
        v = tl.load(values + row * value_row_stride + kv_head * value_stride + each, mask=is_dim)
        tl.store(kept_values + (kept_row * kv_heads + kv_head) * dim + each, v, mask=is_dim)
        return
    half: tl.constexpr = turning // 2
    does_turn = each < turning
    # Dimension i turns with i + half; the others pass, and have no partner but themselves.
    partner = tl.where(does_turn, tl.where(each < half, each + half, each - half), each)
    sign = tl.where(each < half, -1.0, 1.0)
    if head < heads:
        source = queries + row * query_row_stride + head * query_stride
        weight, offset, eps = query_weights, query_offset, query_eps
        target = turned + (row * heads + head) * dim
    else:
        kv_head = head - heads
        source = keys + row * key_row_stride + kv_head * key_stride
        weight, offset, eps = key_weights, key_offset, key_eps
        target = kept_keys + (kept_row * kv_heads + kv_head) * dim
    x = tl.load(source + each, mask=is_dim, other=0.0).to(tl.float32)
    other = tl.load(source + partner, mask=is_dim, other=0.0).to(tl.float32)
    if has_norms:
        shrink = tl.rsqrt(tl.sum(x * x, 0) / dim + eps)
        x *= shrink * (offset + tl.load(weight + each, mask=is_dim, other=0.0).to(tl.float32))
        other *= shrink * (
            offset + tl.load(weight + partner, mask=is_dim, other=0.0).to(tl.float32)
        )
    c = tl.load(cos + row * turning + each, mask=does_turn, other=1.0).to(tl.float32)
    s = tl.load(sin + row * turning + each, mask=does_turn, other=0.0).to(tl.float32)
    y = x * c + sign * other * s
    tl.store(target + each, y.to(turned.dtype.element_ty), mask=is_dim)


_KERNEL: Any = _turn


def turn_and_keep(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    turn: Turn,
    keys: torch.Tensor,
    values: torch.Tensor,
    pages: torch.Tensor,
    lengths: torch.Tensor,
    page_tokens: int,
) -> torch.Tensor:
    """The queries, normed and turned and contiguous; keys and values are in `keys` and `values`.

    q [sequences, new tokens, heads, dim], k, v the same of kv heads; the others as in
    paged_attention. Of a sequence of length 0 nothing is kept.
    """
    sequences, num_new, heads, dim = q.shape
    kv_heads = k.shape[2]
    rows = [x.flatten(0, 1) for x in (q, k, v)]
    strides = [stride for x in rows for stride in (x.stride(0), x.stride(1))]
    cos, sin = (x.expand(sequences, num_new, 1, -1).contiguous() for x in (turn.cos, turn.sin))
    # Of a model without norms nothing is read in their place.
    none = NormWeights(cos, 0.0, 0.0)
    q_norm, k_norm = turn.q_norm or none, turn.k_norm or none
    turned = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    _KERNEL[(sequences * num_new, heads + 2 * kv_heads)](
        *rows, q_norm.weight, k_norm.weight, cos, sin, pages, lengths, turned, keys, values,
        *strides, pages.stride(0), q_norm.offset, k_norm.offset, q_norm.eps, k_norm.eps,
        num_new, page_tokens, heads, kv_heads, dim, cos.shape[-1], turn.q_norm is not None,
        triton.next_power_of_2(dim), num_warps=1,
    )  # fmt: skip
    return turned
