"""What all peers of the fleet log, in one place, as it is logged.

A peer is followed from the first look at this screen on, and again as soon as it is back.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from cortex.engine.errors import CortexError
from cortex.peer.lasting_clock import AmpleClock
from cortex.peer.onlooker.log_lines import LEVELS, LogLine, Skipped
from cortex.peer.onlooker.pictures import FleetPicture
from cortex.peer.units import counted

from ..frame import Frame
from ..log_book import MAX_LINES, Entry, LogBook
from ..moments import local_time, moment
from ..widgets.log_lines import LogLines
from .filtered import FilteredScreen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Set


_DRAW_S = 0.25
# 200 a second: more can nobody read, and a terminal far away should not have to show.
_LINES_A_DRAWING = 50
_SINCE_S = 600.0
# Lines are on their way for a while: of a stream taken up again, so much is asked for once more.
_OVERLAP_S = 5.0
_MAX_PEERS = 32
_ALIVE = ("up", "loading", "draining", "suspect")
# The terminal's own, told apart on dark and on light ground.
_PEER_STYLES = ("cyan", "magenta", "green", "blue", "yellow", "bright_black")


class LogsScreen(FilteredScreen):
    HEAD = "Logs"
    SEARCHED = "peer, source or words"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "level", "Level", id="logs.level"),
        Binding("slash", "filter", "Search", key_display="/", id="logs.search"),
        Binding("f", "follow", "Follow", id="logs.follow"),
        Binding("w", "wrap", "Wrap", id="logs.wrap"),
        Binding("escape", "clear", "Clear search", id="logs.clear", show=False),
        Binding("j", "move('scroll_down')", "Down", id="logs.down", show=False),
        Binding("k", "move('scroll_up')", "Up", id="logs.up", show=False),
        Binding("g", "move('scroll_home')", "First", id="logs.first", show=False),
        Binding("G", "move('scroll_end')", "Last", id="logs.last", show=False),
    ]

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._book = LogBook()
        self._followed: set[str] = set()
        # By a clock of ours: peers may have others.
        self._clock = AmpleClock()
        self._heard_s: dict[str, float] = {}
        self._names: list[str] = []
        self._problems: dict[str, str] = {}
        self._turning: Timer | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(id="nothing", markup=False)
        yield LogLines(id="lines", max_lines=MAX_LINES, min_width=0)
        yield from self.compose_filter()
        yield Static(id="problem", markup=False)

    def on_mount(self) -> None:
        self._lines.border_title = "logs"
        self.watch(self._lines, "auto_scroll", self.draw, init=False)
        self._turning = self.set_interval(_DRAW_S, self.turn)

    def heading(self, picture: FleetPicture) -> list[str]:
        words = [f"{self._book.least} and worse" if self._book.least != "error" else "errors"]
        words.append(counted(len(self._followed), "peer"))
        return words if self._lines.auto_scroll else [*words, "not following"]

    def draw_body(self, picture: FleetPicture, now: datetime) -> None:
        """The lines draw themselves; at a beat those are followed who are not."""
        alive = [peer.name for peer in picture.peers if peer.state in _ALIVE]
        for name in alive[:_MAX_PEERS]:
            if name not in self._followed:
                self._followed.add(name)
                self.run_worker(self._follow(name), group="logs")
        # Of who has left, nobody waits for the log any more.
        self._problems = {name: why for name, why in self._problems.items() if name in alive}
        if len(alive) > _MAX_PEERS:
            self._problems[""] = f"{_MAX_PEERS} of {len(alive)} peers are followed"
        self._draw_state()

    def turn(self) -> None:
        """Show what came since the last time; what is held or hidden is shown later."""
        if self.is_paused or not self.is_current:
            return
        for entry in self._book.turn(_LINES_A_DRAWING):
            self._write(entry)
        self._draw_state()

    async def _follow(self, peer: str) -> None:
        """Until its stream ends; the next beat begins again, behind what is known."""
        heard_s = self._heard_s.get(peer)
        since_s = _SINCE_S if heard_s is None else self._clock() - heard_s + _OVERLAP_S
        try:
            async with self.frame.acting.follow_log(peer, since_s) as lines:
                self._problems.pop(peer, None)
                await self._take(peer, lines, self._book.lines_of(peer))
        except CortexError as error:
            self._problems[peer] = error.message
        finally:
            self._followed.discard(peer)

    async def _take(
        self, peer: str, lines: AsyncGenerator[LogLine | Skipped], known: Set[LogLine]
    ) -> None:
        async for told in lines:
            self._heard_s[peer] = self._clock()
            if isinstance(told, Skipped):
                self._book.skip(peer, told.count)
            elif told not in known:
                self._book.add(peer, told)

    @property
    def narrowed(self) -> Widget:
        return self._lines

    def wanted_changed(self) -> None:
        self._book.wanted = self.wanted
        self._refill()

    @property
    def _lines(self) -> LogLines:
        return self.query_one("#lines", LogLines)

    def _draw_state(self) -> None:
        problem = self.text("#problem")
        problem.display = bool(self._problems) and self.frame.watched.is_fresh
        problem.update("  ".join(self._problems.values()))
        has_lines = bool(self._lines.lines)
        nothing = self.text("#nothing")
        nothing.display = not has_lines
        if not has_lines:
            known = len(self._book.entries)
            words = f"None of {counted(known, 'line')} is shown." if known else "No line yet."
            nothing.update(f"{words}  l changes the level, now {self._book.least}.")

    def _write(self, entry: Entry) -> None:
        self._lines.add(self._words(entry))

    def _words(self, entry: Entry) -> Text:
        """Time, level, peer, the last name of the source, which leaves room for what it says;
        nothing of it is markup.
        """
        line = entry.line
        if line is None:
            dots = "..." if self.frame.look.is_ascii else "…"
            who = f" of {entry.peer}" if entry.peer else ""
            return Text(f"{dots} {counted(entry.skipped, 'line')}{who} skipped", style="dim")
        if entry.peer not in self._names:
            self._names.append(entry.peer)
        style = _PEER_STYLES[self._names.index(entry.peer) % len(_PEER_STYLES)]
        width = min(max(map(len, self._names)), 14)
        text = self._plain(line.text)
        at = moment(local_time(line.time_s), self.frame.now())
        words = Text(f"{at} ", style="dim")
        words.append(f"{line.level:<7} ", self._level_style(line))
        words.append(f"{self._plain(entry.peer)[:width]:<{width}} ", style)
        words.append(f"{self._plain(line.source).rpartition('.')[2]} ", "dim")
        return words.append(text, "")

    def _plain(self, text: str) -> str:
        return text.encode("ascii", "replace").decode() if self.frame.look.is_ascii else text

    def _level_style(self, line: LogLine) -> str:
        tones = self.frame.look.tones
        levels = {"error": tones.needs_you, "warning": tones.worth_a_look, "debug": "dim"}
        return levels.get(line.level, "")

    def _refill(self) -> None:
        """What is shown is chosen anew."""
        self._lines.clear()
        for entry in self._book.shown():
            self._write(entry)
        self._draw_state()
        self.draw()

    def action_level(self) -> None:
        """The next one up; behind the worst comes the least again."""
        at = LEVELS.index(self._book.least)
        self._book.least = LEVELS[(at + 1) % len(LEVELS)]
        self._refill()

    def action_follow(self) -> None:
        self._lines.auto_scroll = not self._lines.auto_scroll
        if self._lines.auto_scroll:
            self._lines.scroll_end(animate=False)

    def action_wrap(self) -> None:
        self._lines.wrap = not self._lines.wrap
        self._refill()
