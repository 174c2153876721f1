"""How the layers of a model reach what is remembered of the sequences in a step, and its shapes.

A contract without an implementation: models know this, and nothing of pages, slots or batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch

from ..layers.gated_delta import DeltaInputs, DeltaWeights
from ..layers.operations import Turn


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """What one full-attention layer remembers of a token: a key and a value per kv head."""

    kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class LinearShape:
    """What one linear-attention layer remembers of a sequence, whatever its length.

    conv (kernel - 1, channels) in the model's dtype; recurrent (heads, key dim, value dim) float32.
    """

    conv: tuple[int, int]
    recurrent: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class MemoryShape:
    """What a model remembers, by layer index."""

    attention: Mapping[int, AttentionShape]
    linear: Mapping[int, LinearShape]

    def token_bytes(self, dtype: torch.dtype) -> int:
        """Of one token, over all full-attention layers."""
        values = sum(2 * each.kv_heads * each.head_dim for each in self.attention.values())
        return values * dtype.itemsize

    def state_bytes(self, dtype: torch.dtype) -> int:
        """Of one sequence, over all linear-attention layers."""
        conv = sum(prod(each.conv) for each in self.linear.values())
        recurrent = sum(prod(each.recurrent) for each in self.linear.values())
        return conv * dtype.itemsize + recurrent * torch.float32.itemsize


class StepMemory(Protocol):
    """One step: either many rows of one token each, or one of many tokens.

    A row goes on where the memory of its sequence ends; or, where a sequence has several, behind
    the one before.
    """

    def attend(
        self,
        layer: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        turn: Turn,
        scale: float,
    ) -> torch.Tensor:
        """Turn q and k, remember k and v [batch, tokens, kv heads, dim]; attention over all
        remembered so far.

        q [batch, tokens, heads, dim]; each token sees itself and all before it. Returns like q.
        """
        ...

    def mix(self, layer: int, weights: DeltaWeights, inputs: DeltaInputs) -> torch.Tensor:
        """What a linear-attention layer makes of the batch, and of what it remembers of it.

        [batch, tokens, value heads, value dim].
        """
        ...
