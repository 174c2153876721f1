"""Attention over pages by Triton is the sum that the formula says, for each sequence by itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.kernels.gpu.paged_attention import (
    PART_TOKENS,
    can_attend,
    paged_attention,
)

# Of values around one: some roundings of the dtype.
TOLERANCES = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}


def written_out(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """In float64: q [new, heads, dim], the last of the positions of k and v; like q."""
    q, k, v = q.double(), k.double(), v.double()
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = torch.einsum("thd,phd->htp", q, k) * scale
    hidden = torch.ones(scores.shape[1:], dtype=torch.bool).triu(k.shape[0] - q.shape[0] + 1)
    return torch.einsum("htp,phd->thd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)


class Step:
    """Sequences of these lengths, whose pages lie anywhere, and their last tokens' queries."""

    def __init__(
        self, lengths: list[int], num_new: int, heads: int, kv_heads: int, dim: int,
        page_tokens: int, dtype: torch.dtype, seed: int,
    ) -> None:  # fmt: skip
        source = torch.Generator().manual_seed(seed)
        each = -(-max(*lengths, 1) // page_tokens)
        num_pages = each * len(lengths)
        order = torch.randperm(num_pages, generator=source)
        self.lengths, self.page_tokens = torch.tensor(lengths), page_tokens
        self.pages = order.view(len(lengths), each)
        shape = (num_pages * page_tokens, kv_heads, dim)
        # What was never written may be anything.
        self.keys, self.values = torch.full((2, *shape), torch.nan, dtype=dtype)
        for i in range(len(lengths)):
            rows = self.rows(i)
            for pool in (self.keys, self.values):
                pool[rows] = torch.randn(len(rows), kv_heads, dim, generator=source).to(dtype)
        self.q = torch.randn(len(lengths), num_new, heads, dim, generator=source).to(dtype)

    def rows(self, i: int) -> torch.Tensor:
        at = torch.arange(int(self.lengths[i]))
        return self.pages[i, at // self.page_tokens] * self.page_tokens + at % self.page_tokens

    def attended(self, which: slice = slice(None)) -> torch.Tensor:
        lengths = self.lengths[which]
        return paged_attention(
            self.q[which].contiguous(), self.keys, self.values, self.pages[which], lengths,
            max(1, int(lengths.max())), self.page_tokens, self.q.shape[-1] ** -0.5,
        )  # fmt: skip


@settings(max_examples=5)
@given(
    histories=st.lists(st.integers(0, 2 * PART_TOKENS + 40), min_size=1, max_size=3),
    num_new=st.integers(1, 4), heads=st.sampled_from([(4, 2), (6, 1), (2, 2), (12, 2)]),
    dim=st.sampled_from([64, 80, 128, 256]), page_tokens=st.sampled_from([16, 64, 256]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_new_tokens_see_themselves_and_all_before_them(
    histories: list[int], num_new: int, heads: tuple[int, int], dim: int, page_tokens: int,
    dtype: torch.dtype, seed: int,
) -> None:  # fmt: skip
    lengths = [history + num_new for history in histories]
    step = Step(lengths, num_new, *heads, dim, page_tokens, dtype, seed)

    together = step.attended()

    for i in range(len(lengths)):
        rows = step.rows(i)
        expected = written_out(step.q[i], step.keys[rows], step.values[rows], dim**-0.5)
        tolerance = TOLERANCES[dtype]
        torch.testing.assert_close(together[i].double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("num_new", [1, 3])
def test_a_sequence_has_the_same_bits_in_any_company(num_new: int) -> None:
    step = Step([40, 900, 256, 257], num_new, 4, 2, 64, 64, torch.float32, 1)

    together = step.attended()

    for i in range(4):
        assert torch.equal(step.attended(slice(i, i + 1)), together[i : i + 1])


def test_a_row_of_padding_is_zeros() -> None:
    step = Step([300, 0], 1, 4, 2, 64, 64, torch.float32, 2)

    together = step.attended()

    assert torch.equal(together[1], torch.zeros_like(together[1]))
    assert torch.equal(together[:1], step.attended(slice(0, 1)))


@pytest.mark.parametrize("score", [-3e4, 3e4])
def test_scores_far_from_nothing_lose_nothing(score: float) -> None:
    step = Step([600], 1, 4, 2, 64, 64, torch.float32, 3)
    step.q.fill_(1.0)
    step.keys.fill_(score / 64)
    rows = step.rows(0)
    step.keys[rows[:300]] = 0.0

    together = step.attended()

    seen = step.values[rows[300:] if score > 0 else rows[:300]].mean(dim=0)
    torch.testing.assert_close(together[0, 0], seen.repeat_interleave(2, dim=0))


def test_sizes_that_are_not_served_are_known() -> None:
    def is_served(new: int, heads: int, dim: int, page_tokens: int, dtype: torch.dtype) -> bool:
        return can_attend(torch.empty(1, new, heads, dim, dtype=dtype), 2, page_tokens)

    assert is_served(4, 12, 256, 64, torch.bfloat16)
    assert not is_served(128, 12, 256, 64, torch.bfloat16)  # a prompt's chunk
    assert not is_served(1, 12, 512, 64, torch.bfloat16)
    assert not is_served(1, 12, 256, 48, torch.bfloat16)
    assert not is_served(4, 12, 256, 64, torch.float32)
    assert not is_served(1, 12, 256, 64, torch.float64)
