"""Operations by the C functions of the folder `c`: each in one pass."""

from __future__ import annotations

import torch

from ..attention.tables import StepTables
from ..layers.gated_delta import DeltaInputs, DeltaWeights, LinearState
from ..layers.operations import NormWeights, Operations
from .library import Library


class NativeOperations(Operations):
    """Operations of tensors of one dtype. What is asked in another, or must be differentiated, the
    plain ones do.
    """

    whose = "own"

    def __init__(self, library: Library) -> None:
        self._dtype = library.dtype
        self._functions = library.functions
        self._panel_rows, self._step = library.panel_rows, library.step
        self._part_tokens = library.part_tokens
        self._threads = torch.get_num_threads()

    def rms_norm(self, x: torch.Tensor, norm: NormWeights) -> torch.Tensor:
        if not self._serves(x, norm.weight):
            return super().rms_norm(x, norm)
        rows = _as_rows(x)
        y = torch.empty(x.shape, dtype=x.dtype)
        self._functions.rms_norm(
            rows.data_ptr(), rows.stride(0), norm.weight.data_ptr(), norm.offset, norm.eps,
            rows.shape[0], rows.shape[1], y.data_ptr(), self._threads,
        )  # fmt: skip
        return y

    def silu_times(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        if not self._serves(gate, up):
            return super().silu_times(gate, up)
        gates, ups = _as_rows(gate), _as_rows(up)
        y = torch.empty(gate.shape, dtype=gate.dtype)
        self._functions.silu_times(
            gates.data_ptr(), gates.stride(0), ups.data_ptr(), ups.stride(0),
            gates.shape[0], gates.shape[1], y.data_ptr(), self._threads,
        )  # fmt: skip
        return y

    def norm_rotate(
        self, x: torch.Tensor, norm: NormWeights | None, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        fits = self._serves(x, cos, sin) and cos.shape[-1] <= x.shape[-1]
        if not fits or (norm is not None and not self._serves(norm.weight)):
            return super().norm_rotate(x, norm, cos, sin)
        heads, dim = x.shape[-2:]
        rows = x.flatten(0, 1)
        y = torch.empty(x.shape, dtype=x.dtype)
        cos, sin = cos.contiguous(), sin.contiguous()
        weight, offset, eps = norm or (None, 0.0, 0.0)
        self._functions.norm_rotate(
            rows.data_ptr(), rows.stride(0), rows.stride(1),
            None if weight is None else weight.data_ptr(), offset, eps,
            cos.data_ptr(), sin.data_ptr(), cos.shape[-1],
            rows.shape[0], heads, dim, y.data_ptr(), self._threads,
        )  # fmt: skip
        return y

    def gated_delta_mix(
        self,
        weights: DeltaWeights,
        inputs: DeltaInputs,
        state: LinearState,
    ) -> tuple[torch.Tensor, LinearState]:
        if not self._mixes(weights, inputs, state):
            return super().gated_delta_mix(weights, inputs, state)
        qkv, z, b, a = inputs
        batch, tokens, channels = qkv.shape
        stride = _row_stride(qkv)
        mixed = torch.empty(batch * tokens * channels, dtype=torch.float32)
        y = torch.empty(batch, tokens, weights.value_heads, weights.value_dim, dtype=qkv.dtype)
        self._functions.gated_delta(
            qkv.data_ptr(), z.data_ptr(), a.data_ptr(), b.data_ptr(), stride,
            weights.conv.data_ptr(), weights.a_log.data_ptr(), weights.dt_bias.data_ptr(),
            weights.norm.data_ptr(), weights.eps,
            state.conv.data_ptr(), state.recurrent.data_ptr(), mixed.data_ptr(), y.data_ptr(),
            batch, tokens, weights.conv.shape[1], weights.key_heads, weights.value_heads,
            weights.key_dim, weights.value_dim, self._threads,
        )  # fmt: skip
        return y, state

    def gated_delta_steps(
        self,
        weights: DeltaWeights,
        inputs: DeltaInputs,
        state: LinearState,
    ) -> tuple[torch.Tensor, LinearState]:
        if self._mixes(weights, inputs, state):
            # Token after token is how they are computed anyway.
            return self.gated_delta_mix(weights, inputs, state)
        return super().gated_delta_steps(weights, inputs, state)

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
        sequences, tokens, heads, dim = q.shape
        is_step = tokens == 1
        has_chunks = self._step > 0 and dim % self._step == 0
        if not (is_step or has_chunks) or not self._serves(q, keys):
            return super().attend(q, k, v, keys, values, tables, scale)
        kv_heads = k.shape[2]
        q = q.contiguous()
        y = torch.empty_like(q)
        if is_step:
            k, v = k.contiguous(), v.contiguous()
            most_parts = -(-tables.longest // self._part_tokens)
            sums = torch.empty(sequences * most_parts * heads * (dim + 2), dtype=torch.float32)
            self._functions.attend_step(
                q.data_ptr(), k.data_ptr(), v.data_ptr(), keys.data_ptr(), values.data_ptr(),
                tables.pages.data_ptr(), tables.lengths.data_ptr(),
                sequences, tables.pages.shape[1], tables.page_tokens, heads, kv_heads, dim,
                most_parts, scale, sums.data_ptr(), y.data_ptr(), self._threads,
            )  # fmt: skip
        else:
            keys[tables.new], values[tables.new] = k[0], v[0]
            panel_tokens = -(-tables.longest // self._panel_rows) * self._panel_rows
            panel_dims = dim + -(-dim // self._panel_rows) * self._panel_rows
            panels = torch.empty(panel_tokens * panel_dims, dtype=q.dtype)
            self._functions.attend_chunk(
                q.data_ptr(), keys.data_ptr(), values.data_ptr(), tables.pages.data_ptr(),
                tables.page_tokens, tables.longest - tokens, tokens, heads, kv_heads, dim,
                scale, panels.data_ptr(), y.data_ptr(), self._threads,
            )  # fmt: skip
        return y

    def _mixes(self, weights: DeltaWeights, inputs: DeltaInputs, state: LinearState) -> bool:
        stride = _row_stride(inputs.qkv)
        return (
            stride is not None
            and all(_row_stride(each) == stride for each in inputs)
            and state.conv.is_contiguous()
            and state.recurrent.is_contiguous()
            and state.recurrent.dtype == weights.a_log.dtype == weights.norm.dtype == torch.float32
            and weights.conv.is_contiguous()
            and self._serves(*inputs, state.conv, weights.conv, weights.dt_bias)
        )

    def _serves(self, *given: torch.Tensor) -> bool:
        """Of this dtype, the last dimension contiguous: weights, projections and parts of them."""
        with_grad = torch.is_grad_enabled()
        return all(
            x.dtype == self._dtype and x.stride(-1) == 1 and not (with_grad and x.requires_grad)
            for x in given
        )


def _row_stride(x: torch.Tensor) -> int | None:
    """How far the rows [size] of x [batch, tokens, size] are apart; None where unevenly."""
    batch, tokens, _ = x.shape
    if batch * tokens == 1:
        return 0
    if tokens == 1:
        return x.stride(0)
    return x.stride(1) if batch == 1 or x.stride(0) == tokens * x.stride(1) else None


def _as_rows(x: torch.Tensor) -> torch.Tensor:
    """[..., size] to [rows, size], a view wherever the rows are evenly apart."""
    return x.reshape(-1, x.shape[-1])
