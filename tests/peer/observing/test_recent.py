"""What has been done of late: sums by the second and percentiles, against plain arithmetic."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.observing.recent import RATE_S, WINDOW_S, Recent

_STEPS = st.lists(st.tuples(st.floats(0, 200), st.integers(0, 50)), max_size=40)


@given(_STEPS, st.floats(0, 400))
def test_sums_are_those_of_the_last_five_minutes(steps: list[tuple[float, int]], rest_s: float):
    recent, now_s = Recent(), 1000.0
    told: list[tuple[float, int]] = []
    for gap_s, number in steps:
        now_s += gap_s
        recent.add(now_s, "completed", number)
        told.append((now_s, number))
    now_s += rest_s
    fresh = [(at_s, number) for at_s, number in told if int(at_s) >= int(now_s) - WINDOW_S]
    assert recent.number(now_s, "completed") == sum(number for _, number in fresh)
    assert recent.number(now_s, "requests") == 0
    of_late = [number for at_s, number in fresh if 1 <= int(now_s) - int(at_s) <= RATE_S]
    assert recent.per_second(now_s, "completed") == sum(of_late) / RATE_S


def test_waits_are_forgotten_after_five_minutes():
    recent = Recent()
    assert recent.first_token_s(0.0, 0.5) is None
    for at_s, wait_s in ((0.0, 9.0), (100.0, 0.1), (200.0, 0.3)):
        recent.waited(at_s, wait_s)
    assert recent.first_token_s(200.0, 1.0) == 9.0
    assert recent.first_token_s(200.0, 0.5) == 0.3
    assert recent.first_token_s(WINDOW_S + 1, 1.0) == 0.3
    assert recent.first_token_s(WINDOW_S + 1, 0.5) == pytest.approx(0.2)


def test_what_is_kept_is_bounded():
    recent = Recent()
    for number in range(100_000):
        recent.waited(number / 1000, 1.0)
        recent.add(number / 10, "requests")
    assert len(recent._seconds) <= WINDOW_S + 1 and len(recent._waits) <= 4096  # pyright: ignore[reportPrivateUsage]
    assert recent.number(9999.9, "requests") == math.floor((WINDOW_S + 1) * 10)
