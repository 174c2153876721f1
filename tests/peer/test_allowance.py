"""What each key may use, by a clock that the test turns."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.access import ApiKey, digest_of
from cortex.peer.allowance import Allowance, Allowances
from cortex.peer.errors import RateLimitExceeded


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def is_let_in(allowance: Allowance) -> bool:
    try:
        with allowance.request():
            return True
    except RateLimitExceeded:
        return False


def wait_told(allowance: Allowance) -> int:
    with pytest.raises(RateLimitExceeded) as caught, allowance.request():
        pass
    return caught.value.retry_after_s


def test_a_key_has_so_many_requests_at_one_time() -> None:
    allowance = Allowance("ci", 2, None, Clock())
    with ExitStack() as held:
        held.enter_context(allowance.request())
        with allowance.request():
            assert 1 <= wait_told(allowance) <= 60
        assert is_let_in(allowance)
    assert is_let_in(allowance)


def test_a_request_that_fails_gives_its_place_back() -> None:
    allowance = Allowance("ci", 1, None, Clock())
    with pytest.raises(KeyError), allowance.request():
        raise KeyError
    assert is_let_in(allowance)


def test_tokens_come_back_at_their_rate() -> None:
    clock = Clock()
    allowance = Allowance("ci", None, 60, clock)
    allowance.spend(60)
    assert wait_told(allowance) == 1
    clock.now_s += 1.0
    assert is_let_in(allowance)


def test_a_large_answer_is_paid_back_before_the_next() -> None:
    clock = Clock()
    allowance = Allowance("ci", None, 60, clock)
    allowance.spend(60 + 30)
    assert wait_told(allowance) == 31
    clock.now_s += 30.5
    assert wait_told(allowance) == 1
    clock.now_s += 0.5
    assert is_let_in(allowance)


def test_no_wait_is_told_that_clients_would_not_bear() -> None:
    allowance = Allowance("ci", None, 1, Clock())
    allowance.spend(10_000)
    assert wait_told(allowance) == 60


def test_rest_saves_no_more_than_a_minutes_worth() -> None:
    clock = Clock()
    allowance = Allowance("ci", None, 60, clock)
    clock.now_s += 3600
    allowance.spend(60)
    assert not is_let_in(allowance)


def test_a_key_without_limits_is_let_in_always() -> None:
    allowance = Allowance("ci", None, None, Clock())
    allowance.spend(10**9)
    with ExitStack() as held:
        for _ in range(100):
            held.enter_context(allowance.request())


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 90), st.integers(0, 500)), max_size=40),
)
def test_spending_never_outruns_the_rate_by_more_than_a_minute_and_one_answer(
    tokens_per_minute: int, comings: list[tuple[float, int]]
) -> None:
    clock = Clock()
    began_s = clock.now_s
    allowance = Allowance("ci", None, tokens_per_minute, clock)
    spent, largest = 0, 0
    for rest_s, cost in comings:
        clock.now_s += rest_s
        if is_let_in(allowance):
            allowance.spend(cost)
            spent, largest = spent + cost, max(largest, cost)
    earned = (clock.now_s - began_s) * tokens_per_minute / 60
    assert spent <= earned + tokens_per_minute + largest + 1e-6


@given(st.integers(1, 1000), st.integers(0, 2000))
def test_after_the_wait_that_was_told_the_key_is_let_in(tokens_per_minute: int, cost: int) -> None:
    clock = Clock()
    allowance = Allowance("ci", None, tokens_per_minute, clock)
    allowance.spend(cost)
    if is_let_in(allowance):
        return
    wait_s = wait_told(allowance)
    clock.now_s += wait_s
    assert is_let_in(allowance) or wait_s == 60


def test_each_key_has_its_own_limits_or_those_of_all() -> None:
    keys = (ApiKey("own", digest_of("a"), False, 3, 300), ApiKey("plain", digest_of("b")))
    allowances = Allowances(1, None, Clock())
    own, plain, nobody = (allowances.of(key) for key in (*keys, None))
    with own.request(), plain.request(), nobody.request(), nobody.request():
        assert is_let_in(own)
        assert not is_let_in(plain)
    assert allowances.of(keys[0]) is own
    own.spend(301)
    assert not is_let_in(own)
    assert is_let_in(plain)
