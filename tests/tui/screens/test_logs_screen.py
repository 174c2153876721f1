"""The dashboard's logs: lines of all peers as they come, and which of them are shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import RichLog

from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.log_lines import Level, LogLine, Skipped
from cortex.tui.app import CortexApp
from cortex.tui.log_book import MAX_LINES, LogBook
from cortex.tui.widgets.log_lines import LogLines

NOON_S = 1_780_000_000.0
Told = LogLine | Skipped | NoPeer | None


def line(text: str, level: Level = "info", at_s: float = 0.0) -> LogLine:
    return LogLine(NOON_S + at_s, level, "peer.node", text)


class Streams:
    """What each peer logs is the test's; None ends a stream, an error breaks it."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float]] = []
        self._queues: dict[str, asyncio.Queue[Told]] = {}

    def say(self, peer: str, *told: Told) -> None:
        for one in told:
            self._queue(peer).put_nowait(one)

    @asynccontextmanager
    async def follow_log(
        self, peer: str, since_s: float
    ) -> AsyncGenerator[AsyncGenerator[LogLine | Skipped]]:
        self.begun.append((peer, since_s))
        yield self._lines(peer)

    async def _lines(self, peer: str) -> AsyncGenerator[LogLine | Skipped]:
        while (told := await self._queue(peer).get()) is not None:
            if isinstance(told, NoPeer):
                raise told
            yield told

    def _queue(self, peer: str) -> asyncio.Queue[Told]:
        return self._queues.setdefault(peer, asyncio.Queue())


@pytest.fixture
def streams(acting: Any) -> Streams:
    fake = Streams()
    acting.follow_log = fake.follow_log
    return fake


OpenLogs = Callable[..., Any]


@pytest.fixture
def logs(make_app: Any, feed: Any, told: Any, eyes: Any, streams: Streams) -> OpenLogs:
    """The logs' screen of a dashboard that has seen two peers."""

    @asynccontextmanager
    async def open_logs(
        size: tuple[int, int] = (80, 24), **options: Any
    ) -> AsyncGenerator[Pilot[None]]:
        async with make_app(**options).run_test(size=size) as pilot:
            feed.say(told.fleet([told.peer("atlas"), told.peer("borea")]))
            await eyes.until(pilot, lambda: "borea" in eyes.screen(pilot))
            await pilot.press("5")
            await eyes.until(pilot, lambda: len(streams.begun) == 2)
            yield pilot

    return open_logs


async def test_lines_of_all_peers_come_with_their_time_level_and_peer(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        streams.say("atlas", line("loaded a model"))
        streams.say("borea", line("no [bold]room", "warning"))
        await eyes.until(pilot, lambda: "loaded a model" in eyes.screen(pilot))
        await eyes.until(pilot, lambda: "no [bold]room" in eyes.screen(pilot))
        shown = next(each for each in eyes.screen(pilot).splitlines() if "room" in each)
        assert "warning borea node no [bold]room" in shown
        styles = {
            segment.text.strip(): str(segment.style)
            for strip in pilot.app.screen.query_one(RichLog).lines
            for segment in strip
        }
        assert styles["atlas"] != styles["borea"]


async def test_the_level_decides_what_is_shown_and_forgets_nothing(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        streams.say("atlas", line("quiet", "debug"), line("usual"), line("bad", "error"))
        await eyes.until(pilot, lambda: "bad" in eyes.screen(pilot))
        assert "quiet" not in eyes.screen(pilot)
        await pilot.press("l", "l")
        await eyes.until(pilot, lambda: "usual" not in eyes.screen(pilot))
        assert "bad" in eyes.screen(pilot) and "errors" in eyes.screen(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "quiet" in eyes.screen(pilot))


async def test_a_search_leaves_the_lines_with_all_its_words(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        streams.say("atlas", line("loaded one"), line("loaded two"))
        streams.say("borea", line("loaded two"))
        await eyes.until(pilot, lambda: eyes.screen(pilot).count("loaded") == 3)
        await pilot.press("/", *"two", "space", *"bor", "enter")
        await eyes.until(pilot, lambda: eyes.screen(pilot).count("loaded") == 1)
        await pilot.press("escape")
        await eyes.until(pilot, lambda: eyes.screen(pilot).count("loaded") == 3)


async def test_what_came_too_fast_is_counted(logs: OpenLogs, streams: Streams, eyes: Any) -> None:
    async with logs() as pilot:
        streams.say("atlas", Skipped(1240), *(line(f"line {n}") for n in range(300)))
        await eyes.until(pilot, lambda: "line 299" in eyes.screen(pilot))
        text = "\n".join(strip.text for strip in pilot.app.screen.query_one(RichLog).lines)
        assert "… 251 lines skipped" in text
        assert "line 250" in text and "line 249" not in text


async def test_what_a_peer_skipped_is_told_with_its_name(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        streams.say("atlas", Skipped(1240))
        await eyes.until(pilot, lambda: "… 1,240 lines of atlas skipped" in eyes.screen(pilot))


class Time:
    def __init__(self) -> None:
        self.now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> Time:
    lasting = Time()
    monkeypatch.setattr("cortex.tui.screens.logs.AmpleClock", lambda: lasting)
    return lasting


@pytest.mark.usefixtures("lasting")
async def test_a_stream_that_broke_is_taken_up_again_where_it_ended(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        streams.say("atlas", line("before", at_s=50), NoPeer("atlas tells its log no more"))
        await eyes.until(pilot, lambda: "tells its log no more" in eyes.screen(pilot))
        await pilot.press("r")
        await eyes.until(pilot, lambda: len(streams.begun) == 3)
        assert streams.begun[-1] == ("atlas", pytest.approx(5.0))
        streams.say("atlas", line("before", at_s=50), line("after", at_s=51))
        await eyes.until(pilot, lambda: "after" in eyes.screen(pilot))
        assert eyes.screen(pilot).count("before") == 1
        assert "no more" not in eyes.screen(pilot)


async def test_a_log_is_followed_on_whatever_the_clocks_of_its_peer_and_of_this_machine_say(
    logs: OpenLogs, streams: Streams, eyes: Any, clock: Any, lasting: Time
) -> None:
    """The one is an hour ahead, and set right while nobody listens; the other is put back then."""
    clock.now = clock.now.fromtimestamp(NOON_S).astimezone()
    async with logs() as pilot:
        streams.say("atlas", line("ahead", at_s=3600), NoPeer("atlas tells its log no more"))
        await eyes.until(pilot, lambda: "tells its log no more" in eyes.screen(pilot))
        clock.now = clock.now.fromtimestamp(NOON_S - 7200).astimezone()
        lasting.now_s += 60
        await pilot.press("r")
        await eyes.until(pilot, lambda: len(streams.begun) == 3)
        assert streams.begun[-1] == ("atlas", pytest.approx(65.0))
        streams.say("atlas", line("ahead", at_s=3600), line("set right", at_s=61))
        await eyes.until(pilot, lambda: "set right" in eyes.screen(pilot))
        assert eyes.screen(pilot).count("ahead") == 1


async def test_what_was_wrong_with_a_peer_that_has_left_is_told_no_more(
    logs: OpenLogs, streams: Streams, eyes: Any, feed: Any, told: Any
) -> None:
    async with logs() as pilot:
        streams.say("borea", NoPeer("borea tells its log no more"))
        await eyes.until(pilot, lambda: "tells its log no more" in eyes.screen(pilot))
        feed.say(told.fleet([told.peer("atlas")]))
        watched = cast(CortexApp, pilot.app).frame.watched
        await eyes.until(
            pilot, lambda: watched.picture is not None and len(watched.picture.peers) == 1
        )
        await pilot.press("r")
        await eyes.until(pilot, lambda: "no more" not in eyes.screen(pilot))
        assert [peer for peer, _ in streams.begun].count("borea") == 1


async def test_a_paused_screen_stands_still_and_catches_up(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        await pilot.press("p")
        streams.say("atlas", line("while held"))
        await pilot.pause(0.6)
        assert "while held" not in eyes.screen(pilot)
        await pilot.press("p")
        await eyes.until(pilot, lambda: "while held" in eyes.screen(pilot))


async def test_long_lines_are_cut_or_broken(logs: OpenLogs, streams: Streams, eyes: Any) -> None:
    async with logs() as pilot:
        streams.say("atlas", line("long " * 30 + "END"))
        await eyes.until(pilot, lambda: "long" in eyes.screen(pilot))
        assert "END" not in eyes.screen(pilot)
        await pilot.press("w")
        await eyes.until(pilot, lambda: "END" in eyes.screen(pilot))


async def test_an_ascii_terminal_gets_nothing_else(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs(is_ascii=True) as pilot:
        streams.say("atlas", *[line("größer")] * 40, Skipped(7))
        await eyes.until(pilot, lambda: "7 lines" in eyes.screen(pilot))
        text = eyes.screen(pilot)
        assert text.isascii(), {char for char in text if not char.isascii()}


async def test_following_can_be_left_and_taken_up(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        streams.say("atlas", *(line(f"line {n}") for n in range(40)))
        await eyes.until(pilot, lambda: "line 39" in eyes.screen(pilot))
        await pilot.press("f", "g")
        await eyes.until(pilot, lambda: "line 0" in eyes.screen(pilot))
        streams.say("atlas", line("line 40"))
        await pilot.pause(0.6)
        assert "line 40" not in eyes.screen(pilot)
        await pilot.press("f")
        await eyes.until(pilot, lambda: "line 40" in eyes.screen(pilot))


async def test_who_scrolls_up_reads_on_undisturbed_until_the_end_is_reached_again(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        streams.say("atlas", *(line(f"line {n}") for n in range(40)))
        await eyes.until(pilot, lambda: "line 39" in eyes.screen(pilot))
        lines = pilot.app.screen.query_one(LogLines)
        for key in ("k", "g", "pageup"):
            await pilot.press(key)
            await eyes.until(pilot, lambda: "not following" in eyes.screen(pilot))
            top = lines.scroll_y
            lines.add(Text("one more"))
            await pilot.pause()
            assert lines.scroll_y == top, key
            await pilot.press("G")
            await eyes.until(pilot, lambda: "one more" in eyes.screen(pilot))
            assert "not following" not in eyes.screen(pilot)
        await pilot.press("k")
        await eyes.until(pilot, lambda: "not following" in eyes.screen(pilot))
        await pilot.press("j")
        await eyes.until(pilot, lambda: "not following" not in eyes.screen(pilot))


async def test_lines_that_are_let_go_of_move_nothing_of_what_is_read(
    logs: OpenLogs, streams: Streams, eyes: Any
) -> None:
    async with logs() as pilot:
        lines = pilot.app.screen.query_one(LogLines)
        lines.max_lines = 50
        streams.say("atlas", *(line(f"line {n}") for n in range(50)))
        await eyes.until(pilot, lambda: "line 49" in eyes.screen(pilot))
        await pilot.press("pageup")
        await eyes.until(pilot, lambda: "line 49" not in eyes.screen(pilot))
        before, top = [row[:70] for row in eyes.screen(pilot).splitlines()], lines.scroll_y
        for number in range(7):
            lines.add(Text(f"later {number}"))
        await pilot.pause()
        assert lines.scroll_y == top - 7
        assert [row[:70] for row in eyes.screen(pilot).splitlines()] == before


def test_lines_that_came_together_stand_in_the_order_of_their_times() -> None:
    book = LogBook()
    book.add("atlas", line("one", at_s=1))
    book.skip("atlas", 7)
    book.add("atlas", line("three", at_s=3))
    book.add("borea", line("two", at_s=2))
    shown = [entry.line.text if entry.line else entry.skipped for entry in book.turn(9)]
    assert shown == ["one", 7, "two", "three"]


def test_the_book_is_bounded() -> None:
    book = LogBook()
    for number in range(3 * MAX_LINES):
        book.add("atlas", line(f"line {number}"))
    assert len(book.turn(MAX_LINES)) == MAX_LINES
    assert len(list(book.shown())) == MAX_LINES
