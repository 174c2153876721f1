"""The line about what is being waited for: its words, and how often it is said."""

from __future__ import annotations

import io

import pytest

from cortex.cli.diagnostics import Diagnostics
from cortex.cli.progress import ProgressLine
from cortex.engine.stream import Stage
from cortex.peer.talk.words import describe

MIB = 1024**2


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test turns by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("stage", "per_s", "words"),
    [
        (Stage("starting"), None, "starting"),
        (
            Stage("loading", 60 * MIB, 80 * MIB, "bytes"),
            10.0 * MIB,
            "loading   60.0/80.0 MiB   75 %   10.0 MiB/s   2 s left",
        ),
        (
            Stage("prefill", 1024, 4096, "tokens"),
            None,
            "reading the prompt   1,024/4,096 tokens   25 %",
        ),
        (Stage("queued", 3, 5, "place"), None, "waiting   place 3"),
        (Stage("starting", eta_s=12.4), None, "starting   12 s left"),
        (
            Stage("loading", 60 * MIB, 80 * MIB, "bytes", eta_s=31.0),
            10.0 * MIB,
            "loading   60.0/80.0 MiB   75 %   10.0 MiB/s   31 s left",
        ),
        (
            Stage("loading", 38_912 * MIB, 52_224 * MIB, "bytes"),
            4_608.0 * MIB,
            "loading   38.0/51.0 GiB   74 %   4.5 GiB/s   3 s left",
        ),
        (Stage("loading", 9 * MIB, 8 * MIB, "bytes"), None, "loading   9.0/8.0 MiB   100 %"),
    ],
)
def test_a_stage_is_told_with_its_amount(stage: Stage, per_s: float | None, words: str) -> None:
    assert describe(stage, per_s) == words


def test_on_a_terminal_the_line_is_redrawn_in_place_and_wiped() -> None:
    screen, clock = Screen(), Clock()
    line = ProgressLine(Diagnostics(screen, can_redraw=True), clock)
    line.show(Stage("loading", 1 * MIB, 4 * MIB, "bytes"))
    clock.now_s = 0.05
    line.show(Stage("loading", 2 * MIB, 4 * MIB, "bytes"))  # too soon to be seen
    clock.now_s = 1.0
    line.show(Stage("loading", 3 * MIB, 4 * MIB, "bytes"))
    line.clear()
    assert screen.getvalue() == (
        "\r\x1b[Kloading   1.0/4.0 MiB   25 %"
        "\r\x1b[Kloading   3.0/4.0 MiB   75 %   2.0 MiB/s   0 s left"
        "\r\x1b[K"
    )


def test_a_narrow_terminal_is_not_wrapped_however_wide_it_was_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    line = ProgressLine(Diagnostics(screen, can_redraw=True), Clock())
    monkeypatch.setenv("COLUMNS", "10")
    line.show(Stage("prefill", 1, 2, "tokens"))
    assert screen.getvalue() == "\r\x1b[Kreading t"
    monkeypatch.setenv("COLUMNS", "8")
    line.show(Stage("queued", 3, 5, "place"))
    assert screen.getvalue().endswith("\r\x1b[Kwaiting")


def test_a_line_that_was_never_drawn_is_not_wiped() -> None:
    screen = Screen()
    ProgressLine(Diagnostics(screen, can_redraw=True), Clock()).clear()
    assert screen.getvalue() == ""


def test_a_short_wait_leaves_no_trace_in_a_log() -> None:
    log, clock = io.StringIO(), Clock()
    line = ProgressLine(Diagnostics(log, can_redraw=True), clock)
    for tenth in range(10):
        clock.now_s = tenth / 4
        line.show(Stage("loading", tenth, 10, "bytes"))
    line.clear()
    assert log.getvalue() == ""


def test_a_long_wait_is_logged_at_each_tenth_or_every_ten_seconds() -> None:
    log, clock = io.StringIO(), Clock()
    line = ProgressLine(Diagnostics(log, can_redraw=True), clock)
    for second in range(1, 41):
        clock.now_s = float(second)
        line.show(Stage("loading", min(second, 20), 100, "bytes"))
    said = log.getvalue().splitlines()
    percents = [words.split("   ")[2] for words in said]
    assert percents == ["3 %", "10 %", "20 %", "20 %", "20 %"]
    assert not any("\x1b" in words for words in said)
