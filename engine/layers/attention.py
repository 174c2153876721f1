"""Full attention as the families have it: grouped queries, rotary, and what each adds to that.

Biases on q, k and v (Qwen2), a norm on every head's query and key (Qwen3), a sigmoid gate on the
output (Qwen3.5). Where the keys and values of earlier tokens lie is the memory's to know.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..attention.dense import causal_attention
from ..models.memory import AttentionShape, StepMemory
from .norms import RMSNorm
from .operations import Operating, Turn
from .projections import SideBySide


class GroupedAttention(SideBySide, Operating):
    """Query heads in groups, each group sharing one head of keys and values."""

    names = ("q_proj", "k_proj", "v_proj")

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        shape: AttentionShape,
        *,
        qkv_bias: bool = False,
        head_norm: Callable[[int], RMSNorm] | None = None,
        has_gate: bool = False,
    ) -> None:
        """`head_norm` makes a norm of a head's size; one for queries and one for keys."""
        super().__init__()
        self.head_dim = shape.head_dim
        self.has_gate = has_gate
        query_size, key_size = num_heads * shape.head_dim, shape.kv_heads * shape.head_dim
        # With a gate, per head: head_dim rows of query, then head_dim rows of gate.
        self.q_proj = nn.Linear(hidden_size, query_size * (1 + has_gate), bias=qkv_bias)
        self.k_proj = nn.Linear(hidden_size, key_size, bias=qkv_bias)
        self.v_proj = nn.Linear(hidden_size, key_size, bias=qkv_bias)
        self.o_proj = nn.Linear(query_size, hidden_size, bias=False)
        self.q_norm = head_norm(shape.head_dim) if head_norm else None
        self.k_norm = head_norm(shape.head_dim) if head_norm else None

    def forward(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        layer: int,
        memory: StepMemory | None,
    ) -> torch.Tensor:
        """x [batch, tokens, hidden]; cos, sin [batch, tokens, 1, rotary dim]; like x."""
        head_dim = self.head_dim
        gate: torch.Tensor | None = None
        q, k, v = self.project(x)
        q = _heads(q, head_dim * (1 + self.has_gate))
        if self.has_gate:
            q, gate = q.chunk(2, dim=-1)  # [batch, tokens, heads, head_dim]
        k, v = _heads(k, head_dim), _heads(v, head_dim)
        turn = Turn(
            self.q_norm.weights if self.q_norm else None,
            self.k_norm.weights if self.k_norm else None,
            cos,
            sin,
        )
        if memory is None:
            q, k = self.operations.turned(q, k, turn)
            out = causal_attention(q, k, v, head_dim**-0.5)
        else:
            out = memory.attend(layer, q, k, v, turn, head_dim**-0.5)
        if gate is not None:
            out = out * gate.sigmoid()
        return self.o_proj(out.flatten(-2))


def _heads(x: torch.Tensor, size: int) -> torch.Tensor:
    """[..., heads * size] to [..., heads, size]."""
    return x.view(*x.shape[:-1], -1, size)
