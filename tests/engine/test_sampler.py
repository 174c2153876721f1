"""Drawing a token: deterministic by seed and position, and right in distribution."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine import sampler as sampler_module
from cortex.engine.sampler import TokenCounts, choose_token, gumbel_noise, needs_counts
from cortex.engine.types import Sampling

CPU = torch.device("cpu")
NOTHING_FORBIDDEN = torch.zeros(8, dtype=torch.bool)
LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -2.0, -3.0, -9.0])


def draws(sampling: Sampling, count: int, logits: torch.Tensor = LOGITS) -> list[int]:
    forbidden = NOTHING_FORBIDDEN
    return [choose_token(logits, sampling, position, forbidden, None) for position in range(count)]


def test_temperature_zero_is_the_best_token() -> None:
    assert draws(Sampling(seed=3, temperature=0.0), 5) == [0] * 5


def test_forbidden_tokens_are_not_drawn_even_where_they_are_best() -> None:
    forbidden = NOTHING_FORBIDDEN.clone()
    forbidden[0] = True

    assert choose_token(LOGITS, Sampling(seed=1, temperature=0.0), 0, forbidden, None) == 1


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), position=st.integers(0, 2**31))
def test_noise_depends_on_seed_and_position_alone(seed: int, position: int) -> None:
    assert torch.equal(
        gumbel_noise(32, seed, position, CPU), gumbel_noise(64, seed, position, CPU)[:32]
    )
    assert not torch.equal(
        gumbel_noise(32, seed, position, CPU), gumbel_noise(32, seed, position + 1, CPU)
    )


def test_noise_is_finite_for_every_pattern_of_bits() -> None:
    bits = torch.tensor([0, -1, 2**63 - 1, -(2**63), (1 << 41) - 1, -(1 << 41)])

    assert sampler_module._gumbel(bits).isfinite().all()  # pyright: ignore[reportPrivateUsage]


def test_a_large_vocabulary_never_draws_what_truncation_left_out() -> None:
    logits = torch.zeros(248_320)
    logits[17] = 1.0
    nothing = torch.zeros(248_320, dtype=torch.bool)

    drawn = {choose_token(logits, Sampling(0, top_k=1), n, nothing, None) for n in range(12)}

    assert drawn == {17}


def test_noise_is_finite_and_gumbel_distributed() -> None:
    noise = gumbel_noise(200_000, 7, 11, CPU)

    assert noise.isfinite().all()
    assert abs(noise.mean().item() - 0.5772) < 0.01  # Euler's constant
    assert abs(noise.var().item() - 1.6449) < 0.03  # pi squared / 6


def test_draws_follow_the_softmax() -> None:
    drawn = draws(Sampling(seed=5, temperature=1.0), 4000)

    frequency = torch.bincount(torch.tensor(drawn), minlength=8) / 4000
    assert (frequency - LOGITS.softmax(0)).abs().max() < 0.03


def test_top_k_keeps_the_k_best() -> None:
    assert set(draws(Sampling(seed=5, temperature=5.0, top_k=3), 400)) == {0, 1, 2}


def test_top_p_keeps_the_smallest_set_that_reaches_the_mass() -> None:
    # softmax: 0.56, 0.21, 0.12, ...: the first two reach 0.7.
    assert set(draws(Sampling(seed=5, top_p=0.7), 400)) == {0, 1}
    assert set(draws(Sampling(seed=5, top_p=0.0), 50)) == {0}


def test_min_p_drops_what_is_far_below_the_best() -> None:
    assert set(draws(Sampling(seed=5, min_p=0.3), 400)) == {0, 1}


def test_presence_and_frequency_penalties_look_at_the_answer_only() -> None:
    sampling = Sampling(seed=0, temperature=0.0, presence_penalty=1.5)
    counts = TokenCounts(8, [0], CPU)
    assert choose_token(LOGITS, sampling, 0, NOTHING_FORBIDDEN, counts) == 0
    counts.add(0)
    assert choose_token(LOGITS, sampling, 1, NOTHING_FORBIDDEN, counts) == 1

    sampling = Sampling(seed=0, temperature=0.0, frequency_penalty=0.6)
    assert choose_token(LOGITS, sampling, 1, NOTHING_FORBIDDEN, counts) == 0
    counts.add(0)
    assert choose_token(LOGITS, sampling, 2, NOTHING_FORBIDDEN, counts) == 1


def test_repetition_penalty_looks_at_the_prompt_too() -> None:
    sampling = Sampling(seed=0, temperature=0.0, repetition_penalty=3.0)

    assert choose_token(LOGITS, sampling, 0, NOTHING_FORBIDDEN, TokenCounts(8, [0], CPU)) == 1


def test_counts_are_needed_only_for_penalties() -> None:
    assert not needs_counts(Sampling(seed=0, temperature=0.7, top_k=20))
    assert needs_counts(Sampling(seed=0, frequency_penalty=0.1))


def test_logits_are_left_as_they_were() -> None:
    before = LOGITS.clone()
    draws(Sampling(seed=5, top_k=2, top_p=0.5, min_p=0.1), 3)

    assert torch.equal(LOGITS, before)
