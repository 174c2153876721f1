"""Tokens drawn by Triton's kernels are those that torch draws, and depend on no neighbour."""

from __future__ import annotations

import logging
from typing import Any, NoReturn, cast

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cortex.engine.errors import DevicePoisoned
from cortex.engine.kernels.gpu import drawing, floors, tried
from cortex.engine.kernels.gpu.complaint import tell_once
from cortex.engine.kernels.gpu.drawing import draw_tokens, draw_usual
from cortex.engine.kernels.gpu.tried import draws_alike, triton_drawing
from cortex.engine.sampler import Chosen, DrawUsual, SamplingRow, choose_tokens
from cortex.engine.sampling.wishes import RowWishes, Truncations, truncations_of, wishes_of
from cortex.engine.types import Sampling

CPU = torch.device("cpu")
NOTHING = torch.tensor([], dtype=torch.long)
NO_MASK = torch.zeros(1, 1, dtype=torch.int32)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small vocabularies in several blocks: the interpreter takes its time."""
    monkeypatch.setattr(floors, "BLOCK_TOKENS", 256)


samplings = st.builds(
    Sampling,
    seed=st.integers(0, 2**63 - 1),
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 0, 1, 5, 64, 2000]),
    top_p=st.sampled_from([1.0, 1.0, 0.0, 0.21, 0.9, 0.999]),
    min_p=st.sampled_from([0.0, 0.0, 0.01, 0.5]),
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, list[SamplingRow]]:
    vocab_size = draw(st.sampled_from([8, 320, 700]))
    num_rows = draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = torch.randn(num_rows, vocab_size, generator=generator)
    # Equal scores are common in bfloat16; coarse ones have many.
    logits = (logits * draw(st.sampled_from([0.01, 3.0, 8.0]))).bfloat16().float()
    words = torch.randint(-(2**31), 2**31, (-(-vocab_size // 32),), generator=generator)
    mask = words.int()
    rows = [
        SamplingRow(
            draw(samplings), draw(st.integers(0, 2**20)), mask=mask if draw(st.booleans()) else None
        )
        for _ in range(num_rows)
    ]
    for scores, row in zip(logits, rows, strict=True):
        assume(not is_on_the_edge(scores, row))
    return logits, rows


def is_on_the_edge(scores: torch.Tensor, row: SamplingRow) -> bool:
    """Whether rounding decides where top-p ends: which is not the same in any order of sums."""
    sampling = row.sampling
    if sampling.temperature == 0.0 or sampling.top_p >= 1.0:
        return False
    left = scores.double()
    if row.mask is not None:
        token = torch.arange(len(scores))
        is_allowed = row.mask[token // 32] >> (token % 32) & 1 == 1
        left = left.masked_fill(~is_allowed, float("-inf"))
    left = left.sort(descending=True).values / sampling.temperature
    if 0 < sampling.top_k < len(left):
        left = left[left >= left[sampling.top_k - 1]]
    mass = left.softmax(dim=0).cumsum(dim=0)
    return bool(((mass - sampling.top_p).abs() < 1e-5).any())


@settings(max_examples=6, deadline=None)
@given(batch=batches())
def test_the_token_is_the_one_that_torch_draws(
    batch: tuple[torch.Tensor, list[SamplingRow]],
) -> None:
    logits, rows = batch
    forbidden = torch.tensor([2, 7])

    drawn = choose_tokens(logits.clone(), rows, forbidden, draw_usual)

    assert drawn == choose_tokens(logits.clone(), rows, forbidden)


def test_a_row_draws_the_same_alone_and_in_company() -> None:
    logits = 3 * torch.randn(3, 300, generator=torch.Generator().manual_seed(0))
    wishes = (Sampling(1), Sampling(2, 0.0), Sampling(3, top_k=9))
    rows = [SamplingRow(sampling, 3) for sampling in wishes]

    together = draw_usual(logits, rows)

    alone = [draw_usual(logits[i : i + 1], [row]) for i, row in enumerate(rows)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("sampling", [Sampling(0, 0.0), Sampling(0), Sampling(0, 1.0, 5, 0.9, 0.1)])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nothing_is_drawn_from_what_is_no_number(sampling: Sampling, bad: float) -> None:
    logits = torch.zeros(2, 300)
    logits[0, 280] = bad
    # Of the first row a score is no number; of the second none may come.
    none_allowed = torch.zeros(10, dtype=torch.int32)
    rows = [SamplingRow(sampling, 0), SamplingRow(sampling, 0, mask=none_allowed)]

    assert choose_tokens(logits, rows, NOTHING, draw_usual) == [None, None]


def test_what_a_row_asks_for_that_no_kernel_knows_is_chosen_by_torch() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]]).repeat(4, 1)
    greedy = Sampling(0, 0.0)
    rows = [
        SamplingRow(greedy, 0), SamplingRow(greedy, 0, banned_ids=(1,)),
        SamplingRow(greedy, 0, top_logprobs=1),
        SamplingRow(Sampling(0, 0.0, logit_bias=((0, 9.0),)), 0),
    ]  # fmt: skip
    given: list[int] = []

    def spy(scores: torch.Tensor, some: Any) -> torch.Tensor:
        given.append(len(some))
        return draw_usual(scores, some)

    chosen = cast("list[Chosen]", choose_tokens(logits, rows, NOTHING, spy))

    assert given == [1]
    assert [one.token_id for one in chosen] == [1, 2, 1, 0]
    assert chosen[2].scores is not None


def test_kernels_for_floors_that_no_row_asks_for_change_nothing() -> None:
    logits = torch.randn(2, 300, generator=torch.Generator().manual_seed(0))
    asked = [RowWishes(Sampling(1), 4), RowWishes(Sampling(2, 0.0), 4)]
    some = truncations_of([row.sampling for row in asked])
    assert some == (False, False, False)

    plain = draw_tokens(logits, NO_MASK, wishes_of(asked), some)

    all_of_them = Truncations(top_k=True, top_p=True, min_p=True)
    assert torch.equal(plain, draw_tokens(logits, NO_MASK, wishes_of(asked), all_of_them))


@pytest.mark.slow
def test_over_a_whole_vocabulary_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "BLOCK_TOKENS", 8192)
    logits = 3 * torch.randn(1, 248_320, generator=torch.Generator().manual_seed(0))
    wishes = (Sampling(1, 0.6, top_p=0.95),)
    rows = [SamplingRow(sampling, 3) for sampling in wishes]

    assert choose_tokens(logits, rows, NOTHING, draw_usual) == choose_tokens(logits, rows, NOTHING)


@pytest.mark.slow
def test_rows_of_each_kind_are_drawn_alike() -> None:
    assert draws_alike(draw_usual, CPU, 600)


def test_drawing_is_tried_before_it_is_believed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def as_torch(scores: torch.Tensor, rows: Any) -> torch.Tensor:
        chosen = choose_tokens(scores.clone(), rows, NOTHING)
        return torch.tensor([-1 if one is None else one.token_id for one in chosen])

    def best(scores: torch.Tensor, rows: Any) -> torch.Tensor:
        return scores.argmax(dim=-1)

    def fail(*_: object) -> NoReturn:
        raise RuntimeError("no such architecture")

    def tried_with(draw: DrawUsual) -> DrawUsual | None:
        monkeypatch.setattr(drawing, "draw_usual", draw)
        triton_drawing.cache_clear()
        return triton_drawing(CPU, 600)

    tell_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert tried_with(as_torch) is as_torch
        assert not caplog.records
        assert tried_with(best) is None
        assert tried_with(fail) is None
    triton_drawing.cache_clear()
    reasons = [record.message.partition("instead: ")[2] for record in caplog.records]
    assert reasons == ["it draws other tokens", "no such architecture"]


def test_a_device_that_a_kernel_spoiled_is_not_given_to_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spoil(*_: object) -> NoReturn:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(drawing, "draw_usual", spoil)
    triton_drawing.cache_clear()

    with pytest.raises(DevicePoisoned, match="illegal memory access"):
        triton_drawing(CPU, 600)

    triton_drawing.cache_clear()


def test_without_triton_torch_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        assert name == "triton"

    monkeypatch.setattr(tried, "find_spec", nothing)
    triton_drawing.cache_clear()

    assert triton_drawing(CPU, 600) is None

    triton_drawing.cache_clear()
