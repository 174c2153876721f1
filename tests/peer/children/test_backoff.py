"""How long a child rests that keeps dying."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.children.backoff import REMEMBERED_S, rest_s


def test_rest_is_none_at_first_and_doubles_up_to_its_longest() -> None:
    rests = [rest_s([1.0] * num_deaths, 2.0, 10.0) for num_deaths in range(9)]
    assert rests == [0, 0, 0, 0.5, 1, 2, 4, 8, 10]


def test_deaths_long_ago_are_forgiven() -> None:
    assert rest_s([0.0] * 9, REMEMBERED_S, 10.0) == 0


@given(st.lists(st.floats(0, 1000)), st.floats(1000, 2000), st.floats(0, 60))
def test_rest_is_bounded_and_never_shorter_for_one_death_more(
    deaths_s: list[float], now_s: float, longest_s: float
) -> None:
    rest = rest_s(deaths_s, now_s, longest_s)
    assert 0 <= rest <= rest_s([*deaths_s, now_s], now_s, longest_s) <= longest_s
