"""Attention of a prompt's chunk by what torch brings for it: its varlen_attn, where that serves.

It is given keys and values that follow on, as those of consecutive pages do; others are gathered
first. Its own tables of pages are for pages of 256 tokens or a multiple, and ours are smaller.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn

Varlen = Callable[..., torch.Tensor]


def found_varlen() -> Varlen | None:
    """torch's, where it can be told that a token sees those before it; from 2.11 on, about."""
    varlen: Callable[..., Any] = varlen_attn
    parameters = inspect.signature(varlen).parameters
    if "window_size" not in parameters or "scale" not in parameters:
        return None
    if "enable_gqa" in parameters:
        return partial(varlen, enable_gqa=True)
    # Earlier ones do not ask whether heads share keys: the kernel below them sees it.
    return varlen


def can_flash(q: torch.Tensor) -> bool:
    """Whether its kernel takes such queries [.., dim]."""
    halves = q.dtype in (torch.bfloat16, torch.float16)
    return halves and q.shape[-1] % 8 == 0 and q.shape[-1] <= 256


def chunk_attention(
    varlen: Varlen, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
) -> torch.Tensor:
    """q [1, tokens, heads, dim], the last of the positions of k and v [positions, kv heads, dim];
    each sees itself and all before it. Like q.
    """
    tokens, positions = q.shape[1], k.shape[0]
    # Made where they are read: numbers of the host would be waited for, in every layer.
    q_ends, k_ends = (
        torch.arange(0, count + 1, count, dtype=torch.int32, device=q.device)
        for count in (tokens, positions)
    )  # [0, count] each
    return varlen(
        q[0], k, v, q_ends, k_ends, tokens, positions,
        scale=scale, window_size=(-1, 0),
    )[None]  # fmt: skip
