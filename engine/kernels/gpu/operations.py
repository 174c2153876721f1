"""Operations by Triton's kernels; what these do not serve, the plain ones do."""

from __future__ import annotations

import torch

from ...attention.tables import StepSlots, StepTables
from ...layers.gated_delta import DeltaInputs, DeltaRule, DeltaWeights, LinearState, gated_delta_mix
from ...layers.operations import NormWeights, Operations, Turn
from .delta_step import delta_step
from .norms import add_rms_norm, rms_norm
from .paged_attention import can_attend, paged_attention
from .prefill import Varlen, can_flash, chunk_attention
from .swiglu import silu_times
from .turning import turn_and_keep


class TritonOperations(Operations):
    """`varlen` attends to the chunks of prompts, and `rule` is the delta rule of theirs; where one
    is None, that is left to the plain operations.
    """

    def __init__(self, varlen: Varlen | None, rule: DeltaRule | None) -> None:
        self._varlen = varlen
        self._rule = rule
        self.whose = "Triton" if rule is None else "Triton and fla"

    def rms_norm(self, x: torch.Tensor, norm: NormWeights) -> torch.Tensor:
        return rms_norm(x, norm)

    def add_rms_norm(
        self, x: torch.Tensor, update: torch.Tensor, norm: NormWeights
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return add_rms_norm(x, update, norm)

    def silu_times(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return silu_times(gate, up)

    def gated_delta_mix(
        self,
        weights: DeltaWeights,
        inputs: DeltaInputs,
        state: LinearState,
    ) -> tuple[torch.Tensor, LinearState]:
        qkv = inputs.qkv
        if qkv.shape[1] == 1:
            rows = torch.arange(qkv.shape[0], device=qkv.device)
            return delta_step(weights, *inputs, state, rows), state
        if self._rule is None or qkv.dtype == torch.float32:
            return super().gated_delta_mix(weights, inputs, state)
        return gated_delta_mix(weights, inputs, state, self._rule)

    def mix_kept(
        self,
        weights: DeltaWeights,
        inputs: DeltaInputs,
        kept: LinearState,
        slots: StepSlots,
    ) -> torch.Tensor:
        if inputs.qkv.shape[1] > 1:
            return super().mix_kept(weights, inputs, kept, slots)
        return delta_step(weights, *inputs, kept, slots.numbers)

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
        q = turn_and_keep(
            q, k, v, turn, keys, values, tables.pages, tables.lengths, tables.page_tokens
        )
        return self.attend_kept(q, keys, values, tables, scale)

    def attend_kept(
        self,
        q: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        tables: StepTables,
        scale: float,
    ) -> torch.Tensor:
        if can_attend(q, keys.shape[1], tables.page_tokens):
            return paged_attention(
                q, keys, values, tables.pages, tables.lengths, tables.longest,
                tables.page_tokens, scale,
            )  # fmt: skip
        if self._varlen is None or q.shape[0] > 1 or not can_flash(q):
            return super().attend_kept(q, keys, values, tables, scale)
        (rows,) = tables.rows
        return chunk_attention(self._varlen, q, keys[rows], values[rows], scale)
