"""New queries and keys are normed and turned by Triton as by torch, and kept where they belong."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.kernels.gpu.turning import turn_and_keep
from cortex.engine.layers.operations import PLAIN, NormWeights, Turn
from cortex.engine.layers.rotary import RopeConfig, cos_sin, inverse_frequencies

PAGE_TOKENS = 16
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
# By head size: all of it turns, or as in Qwen3.5 a quarter, by three axes.
ROPES = {64: RopeConfig(1e4, 64), 96: RopeConfig(1e4, 96), 256: RopeConfig(1e7, 64, (11, 11, 10))}


@settings(max_examples=8)
@given(
    histories=st.lists(st.integers(0, 60), min_size=1, max_size=3), num_new=st.integers(1, 5),
    heads=st.sampled_from([(4, 2), (3, 1)]), dim=st.sampled_from(list(ROPES)),
    dtype=st.sampled_from(list(TOLERANCES)), offset=st.sampled_from([None, 0.0, 1.0]),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_heads_are_turned_and_kept_where_their_tokens_lie(
    histories: list[int], num_new: int, heads: tuple[int, int], dim: int, dtype: torch.dtype,
    offset: float | None, seed: int,
) -> None:  # fmt: skip
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source).to(dtype)

    num_heads, kv_heads = heads
    count, lengths = len(histories), torch.tensor(histories) + num_new
    # As projections give them: with a gate beside each query, and k and v side by side.
    q = draw(count, num_new, num_heads, 2 * dim)[..., :dim]
    k, v = draw(count, num_new, 2 * kv_heads * dim).chunk(2, dim=-1)
    k, v = (x.view(count, num_new, kv_heads, dim) for x in (k, v))
    positions = torch.randint(0, 5000, (3, count, num_new), generator=source)
    rope = ROPES[dim]
    cos, sin = (
        x.to(dtype)[:, :, None] for x in cos_sin(positions, inverse_frequencies(rope), rope)
    )
    norms = (None, None)
    if offset is not None:
        norms = NormWeights(draw(dim), offset, 1e-6), NormWeights(draw(dim), offset, 1e-5)
    pages = torch.randperm(5 * count, generator=source).view(count, 5)
    before = draw(2, 5 * count * PAGE_TOKENS, kv_heads, dim)
    keys, values = before.clone()

    turn = Turn(*norms, cos, sin)
    turned = turn_and_keep(q, k, v, turn, keys, values, pages, lengths, PAGE_TOKENS)

    wide = [norm and NormWeights(norm.weight.float(), norm.offset, norm.eps) for norm in norms]
    wide_turn = Turn(wide[0], wide[1], cos.float(), sin.float())
    expected_q, expected_k = PLAIN.turned(q.float(), k.float(), wide_turn)
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(turned.float(), expected_q, rtol=tolerance, atol=tolerance)
    at = lengths[:, None] - num_new + torch.arange(num_new)
    rows = pages.gather(1, at // PAGE_TOKENS) * PAGE_TOKENS + at % PAGE_TOKENS
    torch.testing.assert_close(keys[rows].float(), expected_k, rtol=tolerance, atol=tolerance)
    assert torch.equal(values[rows], v)
    others = torch.ones(len(keys), dtype=torch.bool)
    others[rows] = False
    assert torch.equal(keys[others], before[0][others])
    assert torch.equal(values[others], before[1][others])


@pytest.mark.parametrize("length", [1, 0])
def test_nothing_is_kept_of_padding(length: int, source: torch.Generator) -> None:
    q, k = torch.randn(2, 1, 1, 2, 64, generator=source)
    keys, values = torch.zeros(2, 16, 2, 64)
    cos, sin = torch.ones(2, 1, 1, 1, 64)

    pages, lengths = torch.zeros(1, 1, dtype=torch.long), torch.tensor([length])
    turn_and_keep(q, k, k, Turn(None, None, cos, sin), keys, values, pages, lengths, 16)

    assert bool(keys.any()) == bool(values.any()) == (length > 0)
