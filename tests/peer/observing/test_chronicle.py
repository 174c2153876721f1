"""What has happened at a peer: numbered, bounded, counted and told."""

from __future__ import annotations

import logging
import time

import pytest

from cortex.peer.observing.chronicle import Chronicle
from cortex.peer.observing.recent import Recent


def test_the_newest_stay_under_numbers_that_rise_over_restarts() -> None:
    before, after = Chronicle(Recent(), lambda: 100.0), Chronicle(Recent(), lambda: 101.0)
    for number in range(500):
        before.add("loaded", f"no. {number}")
    after.add("loaded", "after the restart")
    told = before.latest(1000)
    assert [one.text for one in told] == [f"no. {number}" for number in range(244, 500)]
    numbers = [one.number for one in (*told, *after.latest(1))]
    assert numbers == sorted(set(numbers))
    assert [one.text for one in before.latest(2)] == ["no. 498", "no. 499"]


def test_who_watches_is_called_until_he_leaves() -> None:
    chronicle, calls = Chronicle(Recent()), list[int]()
    end = chronicle.watch(lambda: calls.append(1))
    chronicle.add("loaded", "one")
    end()
    chronicle.add("loaded", "two")
    assert calls == [1]


def test_who_is_told_hears_of_what_was_before_too() -> None:
    chronicle, told = Chronicle(Recent()), list[str]()
    chronicle.add("loaded", "one")
    chronicle.tell(lambda one: told.append(one.text))
    chronicle.add("loaded", "two")
    assert told == ["one", "two"]


def test_evictions_and_failovers_are_counted_and_unloads_are_not() -> None:
    recent = Recent()
    chronicle = Chronicle(recent)
    for what in ("evicted", "unloaded", "failover", "evicted"):
        chronicle.add(what, what)
    now_s = time.monotonic()
    assert (recent.number(now_s, "evictions"), recent.number(now_s, "failovers")) == (2, 1)


def test_it_stands_in_the_log_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        chronicle = Chronicle(Recent())
        chronicle.add("loaded", "loaded 100 % of qwen", "qwen")
        chronicle.add("dead", "is gone", about="borea")
    assert caplog.messages == ["loaded 100 % of qwen", "borea is gone"]


def test_words_are_kept_short_enough_to_travel() -> None:
    chronicle = Chronicle(Recent())
    chronicle.add("failed", "x" * 10_000, "m" * 1000)
    [one] = chronicle.latest(1)
    assert (len(one.text), len(one.model)) == (400, 256)
