"""Which guesses are worth computing, and how what they cost is learned."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.speculation.paying import (
    Chance,
    Choice,
    Offer,
    Prices,
    StepCosts,
    choices_that_pay,
)

chances = st.builds(Chance, st.floats(0, 1), st.integers(0, 4))


def speed(lengths: tuple[int, ...], of: list[Chance], share: float) -> float:
    """Tokens that a step is expected to give, in the time of one without guesses."""
    tokens = sum(sum(c.each**i for i in range(n + 1)) for c, n in zip(of, lengths, strict=True))
    return tokens / (1 + share * sum(lengths))


def lengths_that_pay(of: list[Chance], share: float, most: int) -> list[int]:
    """Where nothing but what was looked up is offered."""
    choices = choices_that_pay([Offer(chance) for chance in of], Prices(share), most)
    return [choice.num_guesses for choice in choices]


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


CHEAP = Prices(token=0.05, head_pass=0.1)


def choice(looked_up: Chance, foreseen: Chance, prices: Prices = CHEAP) -> Choice:
    return choices_that_pay([Offer(looked_up, foreseen)], prices, 8)[0]


def test_a_draft_head_is_asked_where_nothing_was_found() -> None:
    asked = choice(Chance(), Chance(0.8, 4))
    assert asked.is_foreseen and asked.num_guesses > 1


def test_what_was_found_and_is_trusted_goes_before_what_has_to_be_computed() -> None:
    assert choice(Chance(0.95, 8), Chance(0.9, 4)) == Choice(8, is_foreseen=False)


def test_a_draft_head_is_asked_where_what_was_found_is_doubted() -> None:
    assert choice(Chance(0.2, 8), Chance(0.9, 4)).is_foreseen


def test_a_draft_head_that_takes_as_long_as_the_step_is_never_asked() -> None:
    assert choice(Chance(), Chance(1.0, 4), Prices(0.0, 1.0)) == Choice()


def test_the_less_a_draft_head_is_right_the_fewer_guesses_it_is_asked_for() -> None:
    lengths = [choice(Chance(), Chance(each, 4)).num_guesses for each in (0.1, 0.5, 0.7, 1.0)]
    assert lengths == sorted(lengths) and lengths[0] == 0 and lengths[-1] == 4


@given(st.floats(0, 1), st.integers(0, 4), st.floats(0, 1), st.floats(0, 1))
def test_no_other_number_of_foreseen_tokens_would_be_faster(
    each: float, num_guesses: int, token: float, head_pass: float
) -> None:
    chosen = choice(Chance(), Chance(each, num_guesses), Prices(token, head_pass)).num_guesses
    speeds = [
        sum(each**i for i in range(n + 1)) / (1 + n * (token + head_pass))
        for n in range(num_guesses + 1)
    ]
    assert speeds[chosen] == pytest.approx(max(speeds)) or max(speeds) < 1.0301


def test_one_pass_of_a_draft_head_is_shared_by_all_answers_that_ask() -> None:
    prices = Prices(token=0.02, head_pass=0.9)
    offer = Offer(Chance(), Chance(0.9, 1))
    assert choices_that_pay([offer], prices, 8) == [Choice()]
    assert choices_that_pay([offer] * 2, prices, 8) == [Choice()] * 2
    assert choices_that_pay([offer, Offer(Chance(0.9, 8))], prices, 9)[0] == Choice()


@pytest.mark.parametrize("true_share", [0.02, 0.3, 1.0])
def test_what_a_pass_of_a_draft_head_takes_is_learned(true_share: float) -> None:
    costs = begun()
    for _ in range(20):
        costs.add(1, 0, 0.01)
        costs.add_passes(1, 3, 3 * true_share * 0.01)
    prices = costs.prices(1)
    assert prices is not None and prices.head_pass == pytest.approx(true_share, abs=0.01)


def test_the_first_pass_of_a_draft_head_may_take_long() -> None:
    costs = begun()
    costs.add_passes(1, 1, 3.0)  # kernels were compiled
    prices = costs.prices(1)
    assert prices is not None and prices.head_pass < 0.2


def begun(step_s: float = 0.01) -> StepCosts:
    """Of one answer at a time, whose steps without guesses are known."""
    costs = StepCosts()
    for _ in range(3):
        costs.add(1, 0, step_s)
    return costs


def learned(true_share: float, num_drafted: int, rounds: int = 40) -> float:
    costs = begun()
    for _ in range(rounds):
        costs.add(1, 0, 0.01)
        costs.add(1, num_drafted, 0.01 * (1 + true_share * num_drafted))
    prices = costs.prices(1)
    assert prices is not None
    return prices.token


@pytest.mark.parametrize("true_share", [0.0, 0.03, 0.4, 0.9])
@pytest.mark.parametrize("num_drafted", [1, 5])
def test_what_a_guess_costs_is_learned_from_steps(true_share: float, num_drafted: int) -> None:
    assert learned(true_share, num_drafted) == pytest.approx(true_share, abs=0.01)


def test_guesses_wait_until_a_third_step_without_them_was_measured() -> None:
    costs = StepCosts()
    for _ in range(3):
        assert costs.prices(1) is None
        costs.add(1, 0, 0.01)
    assert costs.prices(1) is not None
    assert costs.prices(2) is None


def test_first_steps_that_took_long_do_not_make_guesses_seem_free() -> None:
    costs = StepCosts()
    costs.add(1, 0, 3.0)  # kernels were compiled
    costs.add(1, 0, 0.5)  # a graph was made
    costs.add(1, 0, 0.01)
    for _ in range(10):
        costs.add(1, 1, 0.015)
    prices = costs.prices(1)
    assert prices is not None and prices.token > 0.4


def test_one_step_that_was_held_up_does_not_make_guesses_seem_free() -> None:
    costs = begun()
    for _ in range(31):
        costs.add(1, 1, 0.015)
    costs.add(1, 0, 1.0)  # something else kept the machine busy
    for _ in range(31):
        costs.add(1, 1, 0.015)
    prices = costs.prices(1)
    assert prices is not None and prices.token > 0.3


def test_a_step_without_guesses_is_measured_again_now_and_then() -> None:
    costs = begun()
    num_drafted_steps = 0
    while costs.prices(1) is not None:
        costs.add(1, 4, 0.011)
        num_drafted_steps += 1
        assert num_drafted_steps < 100
    costs.add(1, 0, 0.01)
    assert costs.prices(1) is not None


def test_what_was_too_dear_once_is_tried_again_after_hundreds_of_steps() -> None:
    costs = begun()
    costs.add(1, 8, 10.0)  # something else kept the machine busy
    costs.add(1, 8, 10.0)
    costs.add(1, 8, 10.0)

    def pays() -> bool:
        prices = costs.prices(1)
        return prices is not None and any(lengths_that_pay([Chance(0.5, 8)], prices.token, 8))

    assert not pays()
    steps = 0
    while not pays():
        costs.add(1, 0, 0.01)
        steps += 1
        assert steps < 1000
    assert steps > 20
