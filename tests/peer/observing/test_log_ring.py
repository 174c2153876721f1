"""The last lines of the log: what is kept of a flood, and what of it each reader gets."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.observing.log_ring import LogPage, LogRing

EVER = 0.0


def ring(**bounds: Any) -> LogRing:
    return LogRing(clock=lambda: 5.0, **bounds)


def log(to: LogRing, text: str, at_s: float = 10.0, level: int = logging.INFO, **more: Any) -> None:
    record = logging.LogRecord("cortex.peer.node", level, "f", 1, text, (), None, **more)
    record.created = at_s
    to.handle(record)


def texts(page: LogPage) -> list[str]:
    return [line.text for line in page.lines]


def test_the_newest_lines_stay_and_who_was_too_slow_is_told_how_many_went() -> None:
    kept = ring(max_lines=3)
    log(kept, "first")
    seen = kept.page(0, EVER, logging.DEBUG)
    for number in range(5):
        log(kept, f"line {number}")
    page = kept.page(seen.last, EVER, logging.DEBUG)
    assert texts(page) == ["line 2", "line 3", "line 4"]
    assert page.skipped == 2
    assert kept.page(0, EVER, logging.DEBUG).skipped == 0
    assert texts(kept.page(page.last, EVER, logging.DEBUG)) == []


def test_bytes_are_bounded_too() -> None:
    kept = ring(max_bytes=20_000)
    for number in range(100):
        log(kept, f"{number:04}" + "x" * 100_000, at_s=float(number))
    page = kept.page(0, EVER, logging.DEBUG)
    assert sum(line.size_bytes for line in page.lines) <= 20_000
    assert page.lines[-1].text.startswith("0099")


def test_a_flood_is_sampled_and_warnings_get_through_it() -> None:
    kept = ring(most_per_s=10)
    for number in range(50):
        log(kept, f"chatter {number}", at_s=10.0)
    log(kept, "engine lost", at_s=10.5, level=logging.WARNING)
    log(kept, "next second", at_s=11.0)
    page = kept.page(0, EVER, logging.INFO)
    assert texts(page) == [*(f"chatter {n}" for n in range(10)), "engine lost", "next second"]
    assert page.skipped == 40


def test_lines_are_chosen_by_level_and_age() -> None:
    kept = ring()
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        log(kept, logging.getLevelName(level), float(level), level)
    page = kept.page(0, EVER, logging.WARNING)
    assert [(line.level, line.text) for line in page.lines] == [
        ("warning", "WARNING"),
        ("error", "ERROR"),
        ("error", "CRITICAL"),
    ]
    assert texts(kept.page(0, 40.0, logging.DEBUG)) == ["ERROR", "CRITICAL"]
    # What was passed over for its level is not asked for again.
    assert kept.page(page.last, EVER, logging.DEBUG).lines == ()


@given(st.lists(st.integers(1, 3000), max_size=300))
def test_pages_tell_every_line_once_in_order(lengths: list[int]) -> None:
    kept = ring(max_lines=10_000, max_bytes=1 << 30, most_per_s=10_000)
    for number, length in enumerate(lengths):
        log(kept, f"{number} ".ljust(length, "x"))
    told: list[str] = []
    after = 0
    while True:
        page = kept.page(after, EVER, logging.DEBUG)
        assert sum(line.size_bytes for line in page.lines) <= 128 * 1024
        told += [text.split()[0].rstrip("x") for text in texts(page)]
        after = page.last
        if page.is_last:
            break
    assert told == [str(number) for number in range(len(lengths))]


def test_a_page_is_as_long_as_one_message_to_another_peer() -> None:
    kept = ring()
    for number in range(100):
        log(kept, f"{number} " + "x" * 3000)
    page = kept.page(0, EVER, logging.DEBUG)
    assert not page.is_last
    assert 100 * 1024 < sum(line.size_bytes for line in page.lines) <= 128 * 1024
    assert texts(kept.page(page.last, EVER, logging.DEBUG))[0].startswith(f"{len(page.lines)} ")


def test_a_table_is_a_line_each_and_a_stack_is_named_alone() -> None:
    kept = ring()
    log(kept, "memory\nweights 1\ncache 2")
    secret = ValueError("what a client wrote")
    record = logging.LogRecord(
        "cortex.peer.node", logging.ERROR, "f", 1, "failed", (), (ValueError, secret, None)
    )
    kept.handle(record)
    page = kept.page(0, EVER, logging.DEBUG)
    assert texts(page) == ["memory", "weights 1", "cache 2", "failed (ValueError)"]
    assert page.lines[0].source == "peer.node"


def test_information_is_kept_while_it_listens_and_levels_come_back() -> None:
    kept, room = LogRing(), logging.getLogger("cortex")
    before = room.level
    with kept.listening():
        logging.getLogger("cortex.peer.test").info("heard")
    logging.getLogger("cortex.peer.test").warning("not heard")
    assert texts(kept.page(0, EVER, logging.DEBUG)) == ["heard"]
    assert (room.level, kept in room.handlers) == (before, False)


def test_numbers_go_on_rising_over_a_restart() -> None:
    first, second = LogRing(clock=lambda: 100.0), LogRing(clock=lambda: 101.0)
    for number in range(900):
        log(first, "x", at_s=float(number))
    log(second, "after the restart")
    seen = first.page(0, EVER, logging.DEBUG).last
    page = second.page(seen, EVER, logging.DEBUG)
    assert (texts(page), page.skipped) == (["after the restart"], 0)


@pytest.mark.parametrize("after", [0, 2**62])
def test_any_number_may_be_asked_for(after: int) -> None:
    kept = ring()
    log(kept, "a")
    assert texts(kept.page(after, EVER, logging.DEBUG)) == ["a"]


def test_lines_are_told_to_whoever_followed_a_life_whose_clock_was_ahead() -> None:
    first, second = LogRing(clock=lambda: 100.0), LogRing(clock=lambda: 99.0)
    log(first, "before")
    log(second, "after the clock was set back")
    seen = first.page(0, EVER, logging.DEBUG).last
    page = second.page(seen, EVER, logging.DEBUG)
    assert (texts(page), page.skipped) == (["after the clock was set back"], 0)
    assert page.last < seen and second.page(page.last, EVER, logging.DEBUG).lines == ()


def test_an_age_goes_by_the_clock_that_the_lines_have_and_not_by_the_askers() -> None:
    kept = LogRing(clock=lambda: 1000.0)
    for at_s in (100.0, 950.0, 990.0):
        log(kept, f"at {at_s:g}", at_s=at_s)
    assert texts(kept.page(0, 9999.0, logging.DEBUG, age_s=60.0)) == ["at 950", "at 990"]


def test_a_record_that_does_not_fit_its_own_arguments_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    kept = ring()
    kept.handle(logging.LogRecord("cortex", logging.INFO, "f", 1, "%d of %d", ("one",), None))
    log(kept, "up")
    assert texts(kept.page(0, EVER, logging.DEBUG)) == ["up"]
