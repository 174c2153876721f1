"""What layers compute between their large products, with torch: anywhere, and safe for autograd.

Layers ask their `operations`. Whoever prepares a loaded model for a processor may give it others
that compute the same in fewer passes.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ..attention.dense import causal_attention
from ..attention.tables import StepSlots, StepTables
from .gated_delta import DeltaInputs, DeltaWeights, LinearState, gated_delta_mix, move_on
from .rotary import rotate


class NormWeights(NamedTuple):
    """x / rms(x) * (offset + weight), the mean of squares made greater by eps."""

    weight: torch.Tensor
    offset: float
    eps: float


class Turn(NamedTuple):
    """What is done to new queries and keys: each head normed, by both norms or none, and turned.

    cos, sin [sequences, tokens, 1, rotary dim], in the dtype of the heads.
    """

    q_norm: NormWeights | None
    k_norm: NormWeights | None
    cos: torch.Tensor
    sin: torch.Tensor


class Operations:
    """The plain ones. `whose` says in a word by whom they are, for people and other peers."""

    whose: str = "torch's"

    def rms_norm(self, x: torch.Tensor, norm: NormWeights) -> torch.Tensor:
        """x [..., size], one row at a time; in float32, then back to the dtype of x."""
        weight = norm.weight.float()
        if norm.offset:
            weight = norm.offset + weight
        return functional.rms_norm(x.float(), (x.shape[-1],), weight, norm.eps).to(x.dtype)

    def add_rms_norm(
        self, x: torch.Tensor, update: torch.Tensor, norm: NormWeights
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x + update, in their dtype, and what rms_norm makes of that; all [..., size]."""
        total = x + update
        return total, self.rms_norm(total, norm)

    def silu_times(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """silu(gate) * up; all [..., size]."""
        return functional.silu(gate) * up

    def norm_rotate(
        self, x: torch.Tensor, norm: NormWeights | None, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        """x [batch, tokens, heads, dim], every head normed and turned; like x.

        cos, sin [batch, tokens, 1, rotary dim], in the dtype of x.
        """
        return rotate(self.rms_norm(x, norm) if norm else x, cos, sin)

    def gated_delta_mix(
        self,
        weights: DeltaWeights,
        inputs: DeltaInputs,
        state: LinearState,
    ) -> tuple[torch.Tensor, LinearState]:
        """See gated_delta.gated_delta_mix."""
        return gated_delta_mix(weights, inputs, state)

    def gated_delta_steps(
        self,
        weights: DeltaWeights,
        inputs: DeltaInputs,
        state: LinearState,
    ) -> tuple[torch.Tensor, LinearState]:
        """gated_delta_mix of some tokens as if each came alone, so that its bits are the same."""
        outs: list[torch.Tensor] = []
        for token in range(inputs.qkv.shape[1]):
            out, state = self.gated_delta_mix(weights, inputs.token(token), state)
            outs.append(out)
        return torch.cat(outs, dim=1), state

    def mix_kept(
        self,
        weights: DeltaWeights,
        inputs: DeltaInputs,
        kept: LinearState,
        slots: StepSlots,
    ) -> torch.Tensor:
        """gated_delta_mix of sequences whose states lie among the `kept` ones of all slots, and are
        there again afterwards.
        """
        return move_on(kept, slots.rows, partial(self.gated_delta_mix, weights, inputs))

    def turned(
        self, q: torch.Tensor, k: torch.Tensor, turn: Turn
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """q and k [sequences, tokens, heads, dim], normed and turned."""
        return (
            self.norm_rotate(q, turn.q_norm, turn.cos, turn.sin),
            self.norm_rotate(k, turn.k_norm, turn.cos, turn.sin),
        )

    def turn_and_attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        turn: Turn,
        keys: torch.Tensor,
        values: torch.Tensor,
        tables: StepTables,
        scale: float,
    ) -> torch.Tensor:
        """`turned`, then `attend`."""
        q, k = self.turned(q, k, turn)
        return self.attend(q, k, v, keys, values, tables, scale)

    def attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        tables: StepTables,
        scale: float,
    ) -> torch.Tensor:
        """Of the new tokens k and v are remembered, and each sees all of its sequence up to itself.

        q [sequences, tokens, heads, dim]; k, v [sequences, tokens, kv heads, dim]; keys, values
        [rows, kv heads, dim], of all pages. Like q; what is computed of a sequence depends on no
        other.
        """
        keys[tables.new], values[tables.new] = k.flatten(0, 1), v.flatten(0, 1)
        return self.attend_kept(q, keys, values, tables, scale)

    def attend_kept(
        self,
        q: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        tables: StepTables,
        scale: float,
    ) -> torch.Tensor:
        """`attend` of tokens that are remembered already."""
        outs = [
            causal_attention(q[i : i + 1], keys[rows][None], values[rows][None], scale)
            for i, rows in enumerate(tables.rows)
        ]
        return outs[0] if len(outs) == 1 else torch.cat(outs)


PLAIN = Operations()


class Operating(nn.Module):
    """A layer that computes with operations."""

    operations: Operations = PLAIN


def use_operations(model: nn.Module, operations: Operations) -> None:
    """From now on all layers of a model compute with these."""
    for module in model.modules():
        if isinstance(module, Operating):
            module.operations = operations
