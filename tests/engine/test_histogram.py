"""Durations in buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.histogram import LADDER_S, Histogram


def test_the_ladder_rises_from_a_millisecond_to_minutes() -> None:
    assert (LADDER_S[0], LADDER_S[-1]) == (0.001, 500.0)
    assert list(LADDER_S) == sorted(set(LADDER_S))


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for duration_s in (1.0, 1.5, 2.0, 2.1):
        histogram.add(duration_s)
    assert histogram.spread.counts == (1, 2, 1)


@given(st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 5))))
def test_every_duration_is_counted_once_below_its_bound(added: list[tuple[float, int]]) -> None:
    histogram = Histogram()
    for duration_s, times in added:
        histogram.add(duration_s, times)
    spread = histogram.spread
    for index, bound_s in enumerate(spread.bounds):
        at_most = sum(times for duration_s, times in added if duration_s <= bound_s)
        assert sum(spread.counts[: index + 1]) == at_most
    assert sum(spread.counts) == sum(times for _, times in added)
    assert abs(spread.sum - sum(d * n for d, n in added)) < 1e-6


def test_a_spread_is_of_its_moment() -> None:
    histogram = Histogram()
    before = histogram.spread
    histogram.add(0.1)
    assert sum(before.counts) == 0
