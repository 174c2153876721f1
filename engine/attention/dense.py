"""Attention over contiguous keys and values with torch's scaled_dot_product_attention.

The plain backend: one sequence (or one padded training batch) at a time, any device.
"""

from __future__ import annotations

import torch
from torch.nn import functional


class KeyValueCache:
    """The keys and values of one full-attention layer of one sequence, growing by doubling.

    keys, values: [1, kv heads, capacity, head dim], of which `length` positions are filled.
    """

    def __init__(self) -> None:
        self.length = 0
        self._keys: torch.Tensor | None = None
        self._values: torch.Tensor | None = None

    def append(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store k, v [1, kv heads, tokens, head dim]; all keys and values so far."""
        end = self.length + k.shape[2]
        self._keys = _grown(self._keys, k, self.length, end)
        self._values = _grown(self._values, v, self.length, end)
        self._keys[:, :, self.length : end] = k
        self._values[:, :, self.length : end] = v
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]


def _grown(
    store: torch.Tensor | None, like: torch.Tensor, length: int, needed: int
) -> torch.Tensor:
    if store is not None and store.shape[2] >= needed:
        return store
    capacity = max(64, 1 << (needed - 1).bit_length())
    shape = (like.shape[0], like.shape[1], capacity, like.shape[3])
    grown = torch.empty(shape, dtype=like.dtype, device=like.device)
    if store is not None:
        grown[:, :, :length] = store[:, :, :length]
    return grown


def causal_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
) -> torch.Tensor:
    """q [batch, heads, tokens, dim] against k, v [batch, kv heads, positions, dim].

    The queries are the last `tokens` of the positions; each sees itself and all before it.
    """
    tokens, positions = q.shape[2], k.shape[2]
    mask: torch.Tensor | None = None
    if 1 < tokens < positions:
        everything = torch.ones(tokens, positions, dtype=torch.bool, device=q.device)
        mask = everything.tril(diagonal=positions - tokens)
    return functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=tokens == positions and tokens > 1,
        scale=scale, enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip
