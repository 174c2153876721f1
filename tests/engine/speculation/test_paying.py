"""Which guesses are worth computing, and how what they cost is learned."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.speculation.paying import Chance, StepCosts, lengths_that_pay

chances = st.builds(Chance, st.floats(0, 1), st.integers(0, 4))


def speed(lengths: tuple[int, ...], of: list[Chance], share: float) -> float:
    """Tokens that a step is expected to give, in the time of one without guesses."""
    tokens = sum(sum(c.each**i for i in range(n + 1)) for c, n in zip(of, lengths, strict=True))
    return tokens / (1 + share * sum(lengths))


@given(st.lists(chances, min_size=1, max_size=3), st.floats(0, 1), st.integers(0, 12))
def test_no_other_lengths_would_be_faster(of: list[Chance], share: float, most: int) -> None:
    chosen = tuple(lengths_that_pay(of, share, most))
    every = product(*(range(c.num_guesses + 1) for c in of))
    best = max(speed(lengths, of, share) for lengths in every if sum(lengths) <= most)
    plain = speed((0,) * len(of), of, share)

    assert sum(chosen) <= most
    assert all(length <= c.num_guesses for length, c in zip(chosen, of, strict=True))
    if any(chosen):
        assert speed(chosen, of, share) == pytest.approx(best)
        assert best >= 1.0299 * plain
    else:
        assert best <= 1.0301 * plain


def test_free_guesses_that_are_always_right_are_all_computed() -> None:
    assert lengths_that_pay([Chance(1.0, 8), Chance(1.0, 3)], 0.0, 99) == [8, 3]


def test_guesses_that_are_never_right_are_not_computed_even_for_nothing() -> None:
    assert lengths_that_pay([Chance(0.0, 8)], 0.0, 99) == [0]


def test_guesses_that_cost_a_step_each_never_pay() -> None:
    assert lengths_that_pay([Chance(1.0, 8)] * 4, 1.0, 99) == [0] * 4


def test_the_likely_ones_of_one_answer_go_before_doubtful_ones_of_another() -> None:
    assert lengths_that_pay([Chance(0.9, 8), Chance(0.4, 8)], 0.1, 4) == [4, 0]


def begun(step_s: float = 0.01) -> StepCosts:
    """Of one answer at a time, whose steps without guesses are known."""
    costs = StepCosts()
    for _ in range(2):
        costs.add(1, 0, step_s)
    return costs


def learned(true_share: float, num_drafted: int, rounds: int = 40) -> float:
    costs = begun()
    for _ in range(rounds):
        costs.add(1, 0, 0.01)
        costs.add(1, num_drafted, 0.01 * (1 + true_share * num_drafted))
    share = costs.share(1)
    assert share is not None
    return share


@pytest.mark.parametrize("true_share", [0.0, 0.03, 0.4, 0.9])
@pytest.mark.parametrize("num_drafted", [1, 5])
def test_what_a_guess_costs_is_learned_from_steps(true_share: float, num_drafted: int) -> None:
    assert learned(true_share, num_drafted) == pytest.approx(true_share, abs=0.01)


def test_guesses_wait_until_a_second_step_without_them_was_measured() -> None:
    costs = StepCosts()
    for _ in range(2):
        assert costs.share(1) is None
        costs.add(1, 0, 0.01)
    assert costs.share(1) is not None
    assert costs.share(2) is None


def test_a_first_step_that_took_long_does_not_make_guesses_seem_free() -> None:
    costs = StepCosts()
    costs.add(1, 0, 3.0)  # kernels were compiled
    costs.add(1, 0, 0.01)
    for _ in range(10):
        costs.add(1, 1, 0.015)
    share = costs.share(1)
    assert share is not None and share > 0.4


def test_one_step_that_was_held_up_does_not_make_guesses_seem_free() -> None:
    costs = begun()
    for _ in range(31):
        costs.add(1, 1, 0.015)
    costs.add(1, 0, 1.0)  # something else kept the machine busy
    for _ in range(31):
        costs.add(1, 1, 0.015)
    share = costs.share(1)
    assert share is not None and share > 0.3


def test_a_step_without_guesses_is_measured_again_now_and_then() -> None:
    costs = begun()
    num_drafted_steps = 0
    while costs.share(1) is not None:
        costs.add(1, 4, 0.011)
        num_drafted_steps += 1
        assert num_drafted_steps < 100
    costs.add(1, 0, 0.01)
    assert costs.share(1) is not None


def test_what_was_too_dear_once_is_tried_again_after_hundreds_of_steps() -> None:
    costs = begun()
    costs.add(1, 8, 10.0)  # something else kept the machine busy
    costs.add(1, 8, 10.0)
    costs.add(1, 8, 10.0)

    def pays() -> bool:
        share = costs.share(1)
        return share is not None and any(lengths_that_pay([Chance(0.5, 8)], share, 8))

    assert not pays()
    steps = 0
    while not pays():
        costs.add(1, 0, 0.01)
        steps += 1
        assert steps < 1000
    assert steps > 20
