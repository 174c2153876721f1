"""Attention with torch's scaled_dot_product_attention, on any device.

The plain backend: keys and values of one sequence lie in one tensor, each call sees one sequence.
"""

from __future__ import annotations

import torch
from torch.nn import functional

# From a history so many times as long as the chunk on, attending to each apart is faster (by 5 to
# 30 % at heads of 64 to 256): no mask is made, and heads that share keys fill larger products.
_LONG_HISTORY = 3


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
    if q.is_cpu and positions - tokens >= _LONG_HISTORY * tokens:
        return _behind_history(q, k, v, scale).transpose(1, 2)
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


def _behind_history(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
) -> torch.Tensor:
    """The positions before the chunk and those in it apart, joined by the weight of their scores.

    q [batch, heads, tokens, dim] against k, v [batch, kv heads, positions, dim]; like q. Which
    shapes come here, and what is computed of them, depends on the shapes alone.
    """
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    before = k.shape[2] - q.shape[2]
    # All see all of the history: the heads that share keys become the rows of one product.
    grouped = q.reshape(q.shape[0], k.shape[1], -1, q.shape[3])
    far, far_weight = attend(grouped, k[:, :, :before], v[:, :, :before], scale=scale)
    near, near_weight = attend(q, k[:, :, before:], v[:, :, before:], is_causal=True, scale=scale)
    # The weights are logarithms of the sums of exponentiated scores: [batch, heads, tokens].
    share = torch.sigmoid(far_weight.reshape(near_weight.shape) - near_weight)[..., None]
    joined = torch.lerp(near.float(), far.reshape(near.shape).float(), share.float())
    return joined.to(q.dtype)
