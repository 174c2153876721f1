"""Attention with torch's scaled_dot_product_attention, on any device.

The plain backend: keys and values of one sequence lie in one tensor, each call sees one sequence
(or one padded training batch).
"""

from __future__ import annotations

import torch
from torch.nn import functional


def causal_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
) -> torch.Tensor:
    """q [batch, tokens, heads, dim] against k, v [batch, positions, kv heads, dim]; like q.

    The queries are the last `tokens` of the positions; each sees itself and all before it.
    """
    tokens, positions = q.shape[1], k.shape[1]
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if tokens == 1:
        return _one_token(q, k, v, scale)
    mask: torch.Tensor | None = None
    if tokens < positions:
        everything = torch.ones(tokens, positions, dtype=torch.bool, device=q.device)
        mask = everything.tril(diagonal=positions - tokens)
    out = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None,
        scale=scale, enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip
    return out.transpose(1, 2)


def _one_token(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """q [batch, heads, 1, dim]: the heads that share keys become the rows of one product."""
    grouped = q.reshape(q.shape[0], k.shape[1], -1, q.shape[-1])
    out = functional.scaled_dot_product_attention(grouped, k, v, scale=scale)
    return out.reshape(q.shape[0], 1, -1, q.shape[-1])
