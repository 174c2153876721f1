"""Choosing tokens: the same bits in any company, repeatable by seed and position, and right."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from cortex.engine.sampler import Chosen, SamplingRow, choose_tokens
from cortex.engine.sampling import noise as noise_module
from cortex.engine.sampling.adjusting import TokenCounts, needs_counts
from cortex.engine.sampling.largest import largest, top
from cortex.engine.sampling.noise import MAX_NOISE, gumbel_noise, noise_key
from cortex.engine.sampling.nucleus import nucleus_floor
from cortex.engine.types import Sampling, TokenScores

CPU = torch.device("cpu")
NOTHING = torch.tensor([], dtype=torch.long)
LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -2.0, -3.0, -9.0])
GREEDY = Sampling(seed=0, temperature=0.0)
# Every path of the sampler: among few, among all, row by row, and with blocks and without.
SMALL_VOCAB_SIZES = (8, 320, 1500, 4160)
VOCAB_SIZES = (*SMALL_VOCAB_SIZES, 20_480)


def listed(tensor: torch.Tensor) -> Any:
    """As `tolist`, of which torch does not say what it gives."""
    return cast(Any, tensor.tolist())


def choose(logits: torch.Tensor, row: SamplingRow, forbidden: torch.Tensor = NOTHING) -> Chosen:
    chosen = choose_tokens(logits[None].clone(), [row], forbidden)[0]
    assert chosen is not None
    return chosen


def best(sampling: Sampling = GREEDY, **asked: Any) -> int:
    return choose(LOGITS, SamplingRow(sampling, 0, **asked)).token_id


def draws(sampling: Sampling, count: int, logits: torch.Tensor = LOGITS) -> list[int]:
    rows = [SamplingRow(sampling, position) for position in range(count)]
    chosen = choose_tokens(logits.repeat(count, 1), rows, NOTHING)
    return [c.token_id for c in chosen if c is not None]


def packed(allowed: set[int], vocab_size: int) -> torch.Tensor:
    words = [0] * math.ceil(vocab_size / 32)
    for token_id in allowed:
        words[token_id // 32] |= 1 << token_id % 32
    signed = [word - (1 << 32) if word >= 1 << 31 else word for word in words]
    return torch.tensor(signed, dtype=torch.int32)


@st.composite
def samplings(draw: st.DrawFn) -> Sampling:
    return Sampling(
        seed=draw(st.integers(0, 2**63 - 1)),
        temperature=draw(st.sampled_from([0.0, 0.3, 1.0, 2.0])),
        top_k=draw(st.sampled_from([0, 0, 1, 5, 63, 64, 200, 2000])),
        top_p=draw(st.sampled_from([1.0, 1.0, 0.2, 0.9, 0.999])),
        min_p=draw(st.sampled_from([0.0, 0.0, 0.01, 0.5])),
        presence_penalty=draw(st.sampled_from([0.0, 0.0, 1.5])),
        repetition_penalty=draw(st.sampled_from([1.0, 1.0, 1.3])),
        logit_bias=draw(st.sampled_from([(), (), ((3, 4.5), (0, -100.0))])),
    )


@st.composite
def batches(
    draw: st.DrawFn, vocab_sizes: tuple[int, ...] = VOCAB_SIZES, most_rows: int = 6
) -> tuple[torch.Tensor, list[SamplingRow]]:
    vocab_size = draw(st.sampled_from(vocab_sizes))
    num_rows = draw(st.integers(1, most_rows))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = torch.randn(num_rows, vocab_size, generator=generator)
    # Equal scores are common in bfloat16; coarse ones have many.
    logits = (logits * draw(st.sampled_from([0.01, 3.0, 8.0]))).bfloat16().float()
    rows: list[SamplingRow] = []
    for _ in range(num_rows):
        sampling = draw(samplings())
        counts = None
        if needs_counts(sampling):
            counts = TokenCounts(draw(st.lists(st.integers(0, 7), max_size=5)), CPU)
            for token_id in draw(st.lists(st.integers(0, 7), max_size=3)):
                counts.add(token_id)
        allowed = draw(st.none() | st.sets(st.integers(0, vocab_size - 1), min_size=1, max_size=40))
        rows.append(
            SamplingRow(
                sampling,
                position=draw(st.integers(0, 2**20)),
                counts=counts,
                banned_ids=draw(st.sampled_from([(), (1,), (0, 5)])),
                mask=None if allowed is None else packed(allowed, vocab_size),
                top_logprobs=draw(st.none() | st.integers(0, 20)),
            )
        )
    return logits, rows


@settings(max_examples=60)
@given(batch=batches(), seed=st.randoms(use_true_random=False))
def test_a_row_is_the_same_to_the_bit_alone_and_in_any_company(
    batch: tuple[torch.Tensor, list[SamplingRow]], seed: Any
) -> None:
    logits, rows = batch
    forbidden = torch.tensor([2, 7])
    together = choose_tokens(logits.clone(), rows, forbidden)
    for place, row in enumerate(rows):
        assert choose_tokens(logits[place : place + 1].clone(), [row], forbidden) == [
            together[place]
        ]
    order = list(range(len(rows)))
    seed.shuffle(order)
    shuffled = choose_tokens(logits[order], [rows[place] for place in order], forbidden)
    assert shuffled == [together[place] for place in order]


def test_a_row_over_a_large_vocabulary_is_the_same_alone_and_in_company() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(9, 151_936, generator=generator) * 2
    wishes: list[dict[str, Any]] = [
        {}, {"temperature": 0.0}, {"top_p": 0.9}, {"top_k": 20}, {"top_k": 500}, {"min_p": 0.1},
        {"top_k": 20, "top_p": 0.8}, {"top_p": 0.1, "temperature": 0.5}, {"temperature": 0.2},
    ]  # fmt: skip
    rows = [SamplingRow(Sampling(seed, **w), 5, top_logprobs=3) for seed, w in enumerate(wishes)]
    together = choose_tokens(logits.clone(), rows, NOTHING)

    for place, row in enumerate(rows):
        assert choose_tokens(logits[place : place + 1].clone(), [row], NOTHING) == [together[place]]


@settings(max_examples=60)
@given(batch=batches(SMALL_VOCAB_SIZES, most_rows=2))
def test_every_truncation_keeps_what_its_definition_says(
    batch: tuple[torch.Tensor, list[SamplingRow]],
) -> None:
    """Against the plain way: all scores sorted, one row after the other, in float64."""
    logits, rows = batch
    for scores, row in zip(logits, rows, strict=True):
        drawn = [
            SamplingRow(row.sampling, position, row.counts, row.banned_ids, row.mask)
            for position in range(6)
        ]
        kept = plainly_kept(scores, row)
        for chosen in choose_tokens(scores.repeat(6, 1), drawn, NOTHING):
            assert (chosen.token_id in kept) if chosen else not kept


@given(seed=st.integers(0, 2**31), spread=st.sampled_from([0.1, 2.0, 6.0]))
def test_noise_is_spared_only_where_it_could_not_have_won(seed: int, spread: float) -> None:
    vocab_size = 20_480
    scores = torch.randn(vocab_size, generator=torch.Generator().manual_seed(seed)) * spread
    sampling = Sampling(seed, temperature=0.8)
    vocab = torch.arange(vocab_size, dtype=torch.int32)[None]
    noise = gumbel_noise(vocab, [noise_key(seed, 3)])[0]

    assert choose(scores, SamplingRow(sampling, 3)).token_id == int((scores / 0.8 + noise).argmax())
    assert noise.max() < MAX_NOISE


def plainly_kept(logits: torch.Tensor, row: SamplingRow) -> set[int]:
    s = row.sampling
    scores = {token_id: score for token_id, score in enumerate(listed(logits.double()))}
    if row.counts is not None:
        tally = zip(listed(row.counts.ids), listed(row.counts.answered), strict=True)
        for token_id, answered in tally:
            factor = s.repetition_penalty
            score = scores[token_id]
            score = score / factor if score > 0 else score * factor
            scores[token_id] = score - s.presence_penalty * (answered > 0)
    for token_id, bias in s.logit_bias:
        scores[token_id] += bias
    for token_id in row.banned_ids:
        del scores[token_id]
    if row.mask is not None:
        words = listed(row.mask)
        scores = {t: x for t, x in scores.items() if words[t // 32] >> t % 32 & 1}
    if not scores:
        return set()
    near = 1e-4
    if s.temperature == 0.0:
        return {t for t, x in scores.items() if x >= max(scores.values()) - near}
    ranked = sorted(((x / s.temperature, t) for t, x in scores.items()), reverse=True)
    floor = -math.inf
    if 0 < s.top_k < len(logits):
        floor = ranked[min(s.top_k, len(ranked)) - 1][0]
    left = [x for x, _ in ranked if x >= floor - near]
    if s.top_p < 1.0:
        total = sum(math.exp(x - left[0]) for x in left)
        mass = 0.0
        for x in left:
            if mass >= s.top_p + near:
                break
            floor = x
            mass += math.exp(x - left[0]) / total
        # Where the order of rounding decides, either answer is right.
    if s.min_p > 0.0:
        floor = max(floor, left[0] + math.log(s.min_p))
    return {t for x, t in ranked if x >= floor - near}


def test_temperature_zero_is_the_best_token() -> None:
    assert draws(GREEDY, 5) == [0] * 5


def test_forbidden_tokens_are_not_drawn_even_where_they_are_best() -> None:
    row = SamplingRow(GREEDY, 0, top_logprobs=1)
    chosen = choose(LOGITS, row, forbidden=torch.tensor([0]))

    assert chosen.token_id == 1
    # They are no tokens: they take no share of the probability either.
    assert chosen.scores is not None
    assert chosen.scores.logprob == pytest.approx(LOGITS[1:].log_softmax(0)[0].item(), abs=1e-6)


def test_only_forbidden_logits_are_changed() -> None:
    logits = LOGITS.repeat(2, 1)
    sampling = Sampling(seed=5, top_k=2, top_p=0.5, min_p=0.1, logit_bias=((3, 1.0),))
    choose_tokens(logits, [SamplingRow(sampling, 0), SamplingRow(GREEDY, 0)], torch.tensor([7]))

    assert torch.equal(logits[:, :7], LOGITS[:7].repeat(2, 1))
    assert logits[:, 7].tolist() == [-math.inf] * 2


@given(seed=st.integers(0, 2**64 - 1), position=st.integers(0, 2**31))
def test_noise_depends_on_seed_position_and_token_alone(seed: int, position: int) -> None:
    vocab = torch.arange(64, dtype=torch.int32)[None]
    key, next_key = noise_key(seed, position), noise_key(seed, position + 1)
    noise = gumbel_noise(vocab, [key, next_key])

    assert torch.equal(gumbel_noise(vocab[:, 9:20], [key])[0], noise[0, 9:20])
    assert torch.equal(gumbel_noise(vocab.flip(1), [next_key])[0].flip(0), noise[1])
    assert not torch.equal(noise[0], noise[1])


def test_noise_is_finite_for_every_pattern_of_bits() -> None:
    bits = torch.tensor([0, -1, 2**31 - 1, -(2**31), (1 << 9) - 1, -(1 << 9)], dtype=torch.int32)

    noise = noise_module._gumbel(bits)  # pyright: ignore[reportPrivateUsage]
    assert noise.isfinite().all()
    assert noise.max() < MAX_NOISE


def test_noise_is_gumbel_distributed_and_unrelated_from_position_to_position() -> None:
    vocab = torch.arange(100_000, dtype=torch.int32)[None]
    noise = gumbel_noise(vocab, [noise_key(7, position) for position in range(8)])

    assert (noise.mean(dim=1) - 0.5772).abs().max() < 0.02  # Euler's constant
    assert (noise.var(dim=1) - 1.6449).abs().max() < 0.06  # pi squared / 6
    correlations = torch.corrcoef(noise) - torch.eye(8)
    assert correlations.abs().max() < 0.02
    neighbours = torch.corrcoef(torch.stack((noise[0, 1:], noise[0, :-1])))
    assert neighbours[0, 1].abs() < 0.02


@pytest.mark.parametrize("wish", [{}, {"top_k": 7}, {"top_p": 0.99999}])
def test_draws_follow_the_softmax(wish: dict[str, Any]) -> None:
    drawn = draws(Sampling(seed=5, temperature=1.0, **wish), 20_000)

    frequency = torch.bincount(torch.tensor(drawn), minlength=8) / 20_000
    assert (frequency - LOGITS.softmax(0)).abs().max() < 0.015


def test_a_flat_distribution_over_a_large_vocabulary_is_drawn_from_evenly() -> None:
    drawn = torch.tensor(draws(Sampling(seed=3, top_p=0.9), 400, torch.zeros(4096)))

    # Equals of the last that top-p keeps are kept: here that is everything.
    assert drawn.unique().numel() > 350
    assert abs(drawn.float().mean().item() - 2048) < 200


@given(
    seed=st.integers(0, 2**31),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 0.99]),
    spread=st.sampled_from([0.2, 2.0, 5.0]),
)
def test_the_end_of_a_nucleus_is_found_as_by_sorting(
    seed: int, top_p: float, spread: float
) -> None:
    scores = torch.randn(6000, generator=torch.Generator().manual_seed(seed)) * spread
    floor = nucleus_floor(scores, float(scores.max()), top_p)
    mass = scores.double().softmax(0)

    # Above it lies less than asked for, and with it no less; rounding may move it by a token.
    assert mass[scores > floor].sum() < top_p + 1e-5
    assert mass[scores >= floor].sum() > top_p - 1e-5


def test_top_k_keeps_the_k_best() -> None:
    assert set(draws(Sampling(seed=5, temperature=5.0, top_k=3), 400)) == {0, 1, 2}


def test_top_p_keeps_the_smallest_set_that_reaches_the_mass() -> None:
    # softmax: 0.56, 0.21, 0.12, ...: the first two reach 0.7.
    assert set(draws(Sampling(seed=5, top_p=0.7), 400)) == {0, 1}
    assert set(draws(Sampling(seed=5, top_p=0.0), 50)) == {0}


def test_top_p_is_a_share_of_what_top_k_leaves() -> None:
    # Of the two best, the first has 0.73; of all it has 0.56.
    assert set(draws(Sampling(seed=5, top_k=2, top_p=0.7), 400)) == {0}


def test_min_p_drops_what_is_far_below_the_best() -> None:
    assert set(draws(Sampling(seed=5, min_p=0.3), 400)) == {0, 1}


def test_presence_and_frequency_penalties_look_at_the_answer_only() -> None:
    presence = Sampling(seed=0, temperature=0.0, presence_penalty=1.5)
    counts = TokenCounts([0], CPU)
    assert best(presence, counts=counts) == 0
    counts.add(0)
    assert best(presence, counts=counts) == 1

    frequency = Sampling(seed=0, temperature=0.0, frequency_penalty=0.6)
    assert best(frequency, counts=counts) == 0
    counts.add(0)
    assert best(frequency, counts=counts) == 1


def test_repetition_penalty_looks_at_the_prompt_too() -> None:
    sampling = Sampling(seed=0, temperature=0.0, repetition_penalty=3.0)

    assert best(sampling, counts=TokenCounts([0], CPU)) == 1


@given(prompt=st.lists(st.integers(0, 300)), answer=st.lists(st.integers(0, 300), max_size=200))
def test_counts_hold_every_token_once_with_its_number(prompt: list[int], answer: list[int]) -> None:
    counts = TokenCounts(prompt, CPU)
    for token_id in answer:
        counts.add(token_id)

    told = dict(zip(listed(counts.ids), listed(counts.answered), strict=True))
    assert told == {t: answer.count(t) for t in {*prompt, *answer}}

    at_once = TokenCounts(prompt, CPU, answer)
    assert listed(at_once.ids) == listed(counts.ids)
    assert listed(at_once.answered) == listed(counts.answered)


class Launches(TorchDispatchMode):
    """Counts what is launched on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_counts_of_a_long_answer_take_no_more_launches_than_those_of_a_short_one() -> None:
    def launches(num_answered: int) -> int:
        with Launches() as launched:
            TokenCounts([1, 2, 3], CPU, range(num_answered))
        return launched.count

    assert 0 < launches(1) == launches(1000)


def test_counts_are_needed_only_for_penalties() -> None:
    assert not needs_counts(Sampling(seed=0, temperature=0.7, top_k=20))
    assert needs_counts(Sampling(seed=0, frequency_penalty=0.1))


def test_bias_lifts_and_sinks_tokens_but_never_a_forbidden_one() -> None:
    assert best(Sampling(seed=0, temperature=0.0, logit_bias=((4, 50.0),))) == 4
    assert best(Sampling(seed=0, temperature=0.0, logit_bias=((0, -100.0),))) == 1
    row = SamplingRow(Sampling(seed=0, temperature=0.0, logit_bias=((4, 100.0),)), 0)
    assert choose(LOGITS, row, forbidden=torch.tensor([4])).token_id == 0


def test_banned_and_masked_tokens_do_not_come() -> None:
    assert best(banned_ids=(0, 1)) == 2
    assert best(mask=packed({3, 6}, 8)) == 3


def test_a_mask_of_more_than_one_word_counts_bits_from_the_lowest() -> None:
    row = SamplingRow(GREEDY, 0, mask=packed({31, 32, 95}, 100))
    logits = torch.arange(100.0)
    assert choose(logits, row).token_id == 95
    row = SamplingRow(GREEDY, 0, mask=packed({31, 32}, 100))
    assert choose(logits, row).token_id == 32


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(1), Sampling(1, top_p=0.5)])
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_scores_that_are_no_numbers_choose_nothing_and_harm_no_neighbour(
    sampling: Sampling, broken: float
) -> None:
    bad = LOGITS.clone()
    bad[3] = broken
    rows = [SamplingRow(sampling, 0), SamplingRow(sampling, 0)]

    chosen = choose_tokens(torch.stack((bad, LOGITS)), rows, NOTHING)

    assert chosen == [None, choose(LOGITS, rows[1])]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(1), Sampling(1, top_k=3, top_p=0.5)])
def test_where_everything_is_forbidden_nothing_is_chosen(sampling: Sampling) -> None:
    row = SamplingRow(sampling, 0, mask=packed({2}, 8), banned_ids=(2,), top_logprobs=2)

    assert choose_tokens(LOGITS[None].clone(), [row], NOTHING) == [None]


def test_log_probabilities_are_the_models_own_whatever_the_request_asked() -> None:
    sampling = Sampling(seed=0, temperature=0.5, top_k=1, logit_bias=((2, 9.0),))
    chosen = choose(LOGITS, SamplingRow(sampling, 0, top_logprobs=2))

    told = listed(LOGITS.log_softmax(0))
    assert chosen == Chosen(2, TokenScores(told[2], ((0, told[0]), (1, told[1]))))


def test_no_alternatives_are_told_where_none_are_asked_for() -> None:
    chosen = choose(LOGITS, SamplingRow(GREEDY, 0, top_logprobs=0))
    assert chosen.scores == TokenScores(LOGITS.log_softmax(0)[0].item(), ())
    assert choose(LOGITS, SamplingRow(GREEDY, 0)).scores is None


def test_log_probabilities_are_numbers_even_of_what_cannot_come() -> None:
    row = SamplingRow(GREEDY, 0, top_logprobs=20)
    chosen = choose(LOGITS, row, forbidden=torch.tensor([1]))

    assert chosen.scores is not None
    assert dict(chosen.scores.top)[1] == -9999.0
    assert len(chosen.scores.top) == len(LOGITS)


@given(
    seed=st.integers(0, 2**31),
    vocab_size=st.sampled_from([1, 63, 64, 65, 128, 4096, 20_480]),
    count=st.sampled_from([1, 20, 64]),
    step=st.sampled_from([0.001, 0.5]),
)
def test_the_best_are_found_by_blocks_as_by_looking_at_all(
    seed: int, vocab_size: int, count: int, step: float
) -> None:
    scores = torch.randn(3, vocab_size, generator=torch.Generator().manual_seed(seed))
    scores = (scores / step).round() * step
    value, first = largest(scores)
    assert value.tolist() == scores.amax(dim=1).tolist()
    assert first.tolist() == [row.index(max(row)) for row in listed(scores)]

    count = min(count, vocab_size)
    values, ids = top(scores, count)
    assert torch.equal(values, scores.sort(dim=1, descending=True).values[:, :count])
    assert torch.equal(scores.gather(1, ids), values)
    assert all(len(set(row)) == count for row in listed(ids))
