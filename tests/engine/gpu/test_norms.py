"""Rows are added, normed and gated by Triton as by torch in higher precision, each by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.kernels.gpu.norms import add_rms_norm, rms_norm
from cortex.engine.kernels.gpu.swiglu import silu_times
from cortex.engine.layers.operations import PLAIN, NormWeights

# Of float32 the roundings of a long sum, of the others one rounding of what is given back.
TOLERANCES = {torch.float32: 2e-6, torch.bfloat16: 2**-8, torch.float16: 2**-11}
DTYPES = st.sampled_from(list(TOLERANCES))
ROWS, SEEDS = st.integers(1, 5), st.integers(0, 999)
# Few values, those that fill no block, and those of models.
SIZES = st.sampled_from([1, 36, 130, 256, 1000, 2560, 5120])
OFFSETS = st.sampled_from([0.0, 1.0])


class Drawn:
    def __init__(self, dtype: torch.dtype, seed: int) -> None:
        self._dtype = dtype
        self._source = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._source).to(self._dtype)

    def norm(self, size: int, offset: float) -> NormWeights:
        return NormWeights(self(size), offset, 1e-6)


def normed_widely(x: torch.Tensor, norm: NormWeights) -> torch.Tensor:
    """In float64."""
    x = x.double()
    scale = norm.offset + norm.weight.double()
    return x / (x.square().mean(-1, keepdim=True) + norm.eps).sqrt() * scale


def assert_rounded(found: torch.Tensor, expected: torch.Tensor) -> None:
    """As near as what is given back can be, and a little for the way there."""
    tolerance = TOLERANCES[found.dtype] * 1.01
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=2e-6)


@settings(max_examples=20)
@given(rows=ROWS, size=SIZES, dtype=DTYPES, offset=OFFSETS, seed=SEEDS)
def test_rows_are_normed(
    rows: int, size: int, dtype: torch.dtype, offset: float, seed: int
) -> None:
    draw = Drawn(dtype, seed)
    x, norm = draw(rows, 1, size), draw.norm(size, offset)
    before = x.clone()

    found = rms_norm(x, norm)

    assert_rounded(found, normed_widely(x, norm))
    assert found.shape == x.shape and torch.equal(x, before)


@settings(max_examples=20)
@given(rows=ROWS, size=SIZES, dtype=DTYPES, offset=OFFSETS, seed=SEEDS)
def test_a_sum_is_rounded_before_it_is_normed(
    rows: int, size: int, dtype: torch.dtype, offset: float, seed: int
) -> None:
    draw = Drawn(dtype, seed)
    x, update, norm = 30 * draw(rows, size), draw(rows, size), draw.norm(size, offset)
    before = x.clone(), update.clone()

    total, found = add_rms_norm(x, update, norm)

    assert torch.equal(total, x + update)
    assert_rounded(found, normed_widely(total, norm))
    # Bit for bit what is normed of the sum when it is read again.
    assert torch.equal(found, rms_norm(total, norm))
    assert torch.equal(x, before[0]) and torch.equal(update, before[1])


@settings(max_examples=20)
@given(rows=ROWS, size=st.sampled_from([1, 36, 1024, 1500]), dtype=DTYPES, seed=SEEDS)
def test_rows_are_gated_where_they_lie_side_by_side(
    rows: int, size: int, dtype: torch.dtype, seed: int
) -> None:
    gate, up = (4 * Drawn(dtype, seed)(rows, 1, 2 * size)).chunk(2, dim=-1)

    found = silu_times(gate, up)

    wide = gate.double()
    assert_rounded(found, wide * wide.sigmoid() * up.double())
    assert found.shape == gate.shape and found.is_contiguous()


@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_a_row_has_the_same_bits_in_any_company(dtype: torch.dtype) -> None:
    draw = Drawn(dtype, 0)
    x, update, gate_up = draw(9, 1, 1000), draw(9, 1, 1000), draw(9, 1, 4000)
    norm = draw.norm(1000, 1.0)
    x[4, 0, 3] = torch.nan

    def computed(rows: slice) -> list[torch.Tensor]:
        gate, up = gate_up[rows].chunk(2, dim=-1)
        return [
            rms_norm(x[rows], norm), *add_rms_norm(x[rows], update[rows], norm),
            silu_times(gate, up),
        ]  # fmt: skip

    together = computed(slice(None))

    assert together[0][4].isnan().all()
    for row in (0, 3, 5, 8):
        alone = computed(slice(row, row + 1))
        assert all(torch.equal(a, b[row : row + 1]) for a, b in zip(alone, together, strict=True))


def test_rows_that_lie_apart_are_normed_as_they_would_be_together() -> None:
    draw = Drawn(torch.float32, 0)
    wide, norm = draw(3, 2, 4, 2 * 36), draw.norm(36, 0.0)
    x, update = wide.chunk(2, dim=-1)

    assert torch.equal(rms_norm(x, norm), rms_norm(x.contiguous(), norm))
    total, normed = add_rms_norm(x, update, norm)
    assert torch.equal(total, x + update) and torch.equal(normed, rms_norm(total, norm))


def test_values_beyond_what_exp_can_give_are_gated_as_by_torch() -> None:
    gate = torch.tensor([[-torch.inf, -1e5, -100.0, 0.0, 100.0, 1e5, torch.inf, torch.nan]])
    up = torch.ones_like(gate)

    with np.errstate(over="ignore", invalid="ignore"):
        found = silu_times(gate, up)

    torch.testing.assert_close(found, PLAIN.silu_times(gate, up), equal_nan=True)
