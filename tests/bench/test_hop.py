"""The hop's bench: how what was noted on either side becomes figures."""

from __future__ import annotations

import pytest

from bench.hop import Added, added_ms, figures, report

MS = 1_000_000


def test_what_a_hop_added_is_the_time_between_giving_and_having():
    given = {"a": [(1, 10 * MS), (2, 20 * MS)], "b": [(1, 12 * MS)], "local": [(1, 0)]}
    had = {"a": [(1, 11 * MS), (2, 20 * MS + MS // 2)], "b": [(1, 15 * MS)]}
    assert added_ms(given, had) == [1.0, 0.5, 3.0]


def test_events_that_came_joined_count_from_the_last_of_them():
    assert added_ms({"a": [(1, 10 * MS), (2, 20 * MS)]}, {"a": [(2, 22 * MS)]}) == [2.0]


def test_an_event_that_nobody_gave_is_no_figure():
    with pytest.raises(KeyError):
        added_ms({"a": [(1, 10 * MS)]}, {"a": [(3, 22 * MS)]})


def test_report_says_whether_the_bar_is_met():
    given = {"a": [(n, n * MS) for n in range(1, 201)]}
    had = {"a": [(n, n * MS + n * MS // 100) for n in range(1, 201)]}
    one = figures(given, had, 5.0, 6.0)
    assert (one.events, round(one.p50_ms, 3), one.max_ms) == (200, 1.005, 2.0)
    assert one.p99_ms == pytest.approx(1.98, abs=0.02)
    assert report([one])["is_met"]
    assert not report([one, Added(1, 1, 1.6, 2.0, 2.0, 5.0, 6.0)])["is_met"]
