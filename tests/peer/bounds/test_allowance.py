"""What each key may use, by a clock that the test turns."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.bounds.allowance import Allowance, Allowances, Bounds
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.errors import RateLimitExceeded
from cortex.peer.keys.access import ApiKey, digest_of


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
    allowance = Allowance("ci", Bounds(2, None), Clock())
    with ExitStack() as held:
        held.enter_context(allowance.request())
        with allowance.request():
            assert 1 <= wait_told(allowance) <= 60
        assert is_let_in(allowance)
    assert is_let_in(allowance)


def test_a_request_that_fails_gives_its_place_back() -> None:
    allowance = Allowance("ci", Bounds(1, None), Clock())
    with pytest.raises(KeyError), allowance.request():
        raise KeyError
    assert is_let_in(allowance)


def test_tokens_come_back_at_their_rate() -> None:
    clock = Clock()
    allowance = Allowance("ci", Bounds(None, 60), clock)
    allowance.spend(60)
    assert wait_told(allowance) == 1
    clock.now_s += 1.0
    assert is_let_in(allowance)


def test_a_large_answer_is_paid_back_before_the_next() -> None:
    clock = Clock()
    allowance = Allowance("ci", Bounds(None, 60), clock)
    allowance.spend(60 + 30)
    assert wait_told(allowance) == 31
    clock.now_s += 30.5
    assert wait_told(allowance) == 1
    clock.now_s += 0.5
    assert is_let_in(allowance)


def test_no_wait_is_told_that_clients_would_not_bear() -> None:
    allowance = Allowance("ci", Bounds(None, 1), Clock())
    allowance.spend(10_000)
    assert wait_told(allowance) == 60


def test_rest_saves_no_more_than_a_minutes_worth() -> None:
    clock = Clock()
    allowance = Allowance("ci", Bounds(None, 60), clock)
    clock.now_s += 3600
    allowance.spend(60)
    assert not is_let_in(allowance)


def test_a_key_without_limits_is_let_in_always() -> None:
    allowance = Allowance("ci", Bounds(None, None), Clock())
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
    allowance = Allowance("ci", Bounds(None, tokens_per_minute), clock)
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
    allowance = Allowance("ci", Bounds(None, tokens_per_minute), clock)
    allowance.spend(cost)
    if is_let_in(allowance):
        return
    wait_s = wait_told(allowance)
    clock.now_s += wait_s
    assert is_let_in(allowance) or wait_s == 60


def test_so_many_requests_a_minute_and_no_more() -> None:
    clock = Clock()
    allowance = Allowance("ci", Bounds(requests_per_minute=2), clock)
    assert is_let_in(allowance)
    assert is_let_in(allowance)
    assert wait_told(allowance) == 30
    clock.now_s += 30
    assert is_let_in(allowance)
    assert not is_let_in(allowance)


def test_a_request_that_is_turned_away_costs_nothing() -> None:
    clock = Clock()
    allowance = Allowance("ci", Bounds(max_concurrent=1, requests_per_minute=3), clock)
    with allowance.request():
        for _ in range(9):
            assert not is_let_in(allowance)
    assert is_let_in(allowance)


def test_bounds_that_change_forgive_no_debt() -> None:
    clock = Clock()
    allowance = Allowance("ci", Bounds(tokens_per_minute=60), clock)
    allowance.spend(90)
    allowance.become(Bounds(tokens_per_minute=120))
    assert wait_told(allowance) == 16
    allowance.become(Bounds(tokens_per_minute=60))
    assert wait_told(allowance) == 31


def test_new_bounds_begin_with_a_minutes_worth() -> None:
    allowance = Allowance("ci", Bounds(), Clock())
    allowance.become(Bounds(tokens_per_minute=60))
    allowance.spend(59)
    assert is_let_in(allowance)
    allowance.become(Bounds())
    allowance.spend(9999)
    assert is_let_in(allowance)


OWN = ApiKey("own", digest_of("a"), False, 3, 300)
PLAIN = ApiKey("plain", digest_of("b"))
MEMBER = "a member of the fleet"


class Keys:
    """Allowances under a config that the test replaces."""

    def __init__(self, num_places: int = 9, **fields: Any) -> None:
        self.config = PeerConfig(Locations(Path(), Path()), keys=(OWN, PLAIN), **fields)
        self.all = Allowances(lambda: self.config, Clock(), lambda: num_places)

    def lets_in(self, who: ApiKey | str | None) -> bool:
        with ExitStack() as held:
            return self.enter(held, who) is not None

    def enter(self, held: ExitStack, who: ApiKey | str | None) -> Allowance | None:
        key = who if isinstance(who, ApiKey) else None
        try:
            return held.enter_context(self.all.request(key, is_member=who is MEMBER))
        except RateLimitExceeded:
            return None


def test_each_key_has_its_own_limits_or_those_of_all() -> None:
    keys = Keys(max_concurrent=1)
    with ExitStack() as held:
        own = keys.enter(held, OWN)
        assert own is not None
        assert keys.enter(held, PLAIN)
        assert keys.enter(held, MEMBER)
        assert keys.lets_in(OWN)
        assert not keys.lets_in(PLAIN)
        own.spend(301)
        assert not keys.lets_in(OWN)
    assert keys.lets_in(PLAIN)


def test_a_limit_that_changes_holds_from_the_next_request_on() -> None:
    keys = Keys(max_concurrent=1)
    with ExitStack() as held:
        keys.enter(held, PLAIN)
        assert not keys.lets_in(PLAIN)
        keys.config = replace(keys.config, max_concurrent=2)
        assert keys.lets_in(PLAIN)


def test_all_without_a_key_have_the_limits_of_one() -> None:
    keys = Keys(max_concurrent=2)
    with ExitStack() as held:
        assert keys.enter(held, None)
        assert keys.enter(held, None)
        assert not keys.lets_in(None)
        assert keys.lets_in(PLAIN)


def test_the_last_place_is_kept_for_those_with_a_key() -> None:
    keys = Keys(num_places=3)
    with ExitStack() as held:
        assert keys.enter(held, PLAIN)
        assert keys.enter(held, None)
        assert not keys.lets_in(None)
        assert keys.lets_in(PLAIN)
        assert keys.lets_in(MEMBER)
    assert keys.lets_in(None)


def test_one_place_alone_is_anybodys() -> None:
    keys = Keys(num_places=1)
    with ExitStack() as held:
        assert keys.enter(held, None)
        assert not keys.lets_in(None)


def test_where_nobody_has_a_key_nobody_is_kept_out() -> None:
    keys = Keys(num_places=2, max_concurrent=1)
    keys.config = replace(keys.config, keys=())
    with ExitStack() as held:
        assert all(keys.enter(held, None) for _ in range(20))
