"""The window over a sender's counters: each is taken once, and late ones as long as they fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.gossip.replay import WINDOW, ReplayWindow

# Near each other, around the window's width, and anywhere at all.
COUNTERS = (
    st.integers(-2, 20)
    | st.integers(WINDOW - 3, 2 * WINDOW + 3)
    | st.integers(2**64 - 3000, 2**64 - 1)
)


@given(st.lists(COUNTERS, max_size=200))
def test_no_counter_is_taken_twice_whatever_the_order(counters: list[int]) -> None:
    window = ReplayWindow()
    taken = [counter for counter in counters if window.take(counter)]
    assert len(set(taken)) == len(taken)


@given(st.lists(COUNTERS, max_size=200))
def test_a_counter_is_taken_when_it_is_new_and_within_the_window(counters: list[int]) -> None:
    window, seen = ReplayWindow(), set[int]()
    for counter in counters:
        newest = max(seen, default=0)
        is_due = counter >= 1 and counter > newest - WINDOW and counter not in seen
        assert window.take(counter) == is_due
        if is_due:
            seen.add(counter)


@given(st.permutations(range(1, 60)))
def test_all_counters_come_through_in_any_order_within_the_window(order: list[int]) -> None:
    window = ReplayWindow()
    assert all(window.take(counter) for counter in order)


@pytest.mark.parametrize(
    ("counter", "is_taken"), [(5000 - WINDOW, False), (5001 - WINDOW, True), (5000, False)]
)
def test_the_window_ends_where_it_ends(counter: int, is_taken: bool) -> None:
    window = ReplayWindow()
    assert window.take(5000)
    assert window.take(counter) is is_taken


@pytest.mark.parametrize("ahead", [WINDOW - 1, WINDOW, WINDOW + 1, 2**64 - 2])
def test_what_was_seen_stays_seen_after_a_leap(ahead: int) -> None:
    window = ReplayWindow()
    assert window.take(1)
    assert window.take(1 + ahead)
    assert not window.take(1)
    assert not window.take(1 + ahead)
    assert window.take(ahead)


def test_zero_and_less_are_no_counters() -> None:
    assert not ReplayWindow().take(0)
    assert not ReplayWindow().take(-1)
