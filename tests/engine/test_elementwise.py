"""A value's function is the same bits in any company."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from cortex.engine.layers.elementwise import in_whole_vectors


@pytest.mark.parametrize("function", [torch.sigmoid, functional.softplus, functional.silu])
@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 40), width=st.integers(1, 70), seed=st.integers(0, 1000))
def test_a_row_has_the_same_bits_however_many_there_are(
    function: Callable[[torch.Tensor], torch.Tensor], rows: int, width: int, seed: int
) -> None:
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 4

    together = in_whole_vectors(function, x)

    for i in range(rows):
        assert torch.equal(in_whole_vectors(function, x[i : i + 1]), together[i : i + 1])
