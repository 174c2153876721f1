"""What all screens have: a title line, a banner while nobody answers, a body, and the keys of now.

A screen draws what it is given when it is told to: at a beat, or because of a key. One that is not
on top is not drawn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Resize, ScreenResume
from textual.screen import Screen
from textual.widgets import Static

from cortex.engine.errors import CortexError
from cortex.peer.onlooker import wording
from cortex.peer.onlooker.pictures import FleetPicture
from cortex.peer.units import age

from ..frame import Frame
from ..watched import Watched
from ..widgets.keys_line import KeysLine

WIDE_CELLS = 120
_EMPTY = """\
No peer answers yet. Looked at {sought} for {looked_s:.0f} s.
The last word: {problem}.

  cortex peer                      start a peer on this machine
  cortex peer --join HOST:13132    the same, with the address of another
  cortex tui --peer HOST:13131     look through a peer of another machine
  cortex doctor                    find out why nothing is found

Still looking: this screen changes by itself when a peer appears."""


class FramedScreen(Screen[None]):
    """A screen says what its body is made of, and draws it. `LEGEND` explains its words."""

    HEAD: ClassVar[str] = ""
    LEGEND: ClassVar[Mapping[str, str]] = {}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", id="screen.pause"),
        Binding("r", "ask_again", "Ask again", id="screen.ask_again", show=False),
    ]

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame
        self._paused: datetime | None = None

    def compose_body(self) -> ComposeResult:
        raise NotImplementedError

    def draw_body(self, picture: FleetPicture, now: datetime) -> None:
        raise NotImplementedError

    def heading(self, picture: FleetPicture) -> list[str]:
        """What the title says after the fleet and the screen: what comes last goes first."""
        return wording.heading(picture)[1:]

    def on_beat(self) -> None:
        """Called at each beat while it is shown: where a screen asks for more than the feed has."""

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="banner", markup=False)
        yield Static("Too little room: 60 by 15 characters are needed.", id="room")
        yield Static(id="empty", markup=False)
        with Vertical(id="body"):
            yield from self.compose_body()
        yield KeysLine()

    @property
    def can_draw(self) -> bool:
        """The beat, the news and answers outlive the screen, which stops running before its first
        widget goes: whoever has awaited something asks here first.
        """
        return self.is_mounted and self.is_running

    @property
    def is_paused(self) -> bool:
        return self._paused is not None

    @property
    def is_wide(self) -> bool:
        return self.size.width >= WIDE_CELLS

    def draw(self) -> None:
        if not self.can_draw:
            return
        now, picture = self.frame.now(), self.frame.watched.picture
        self._draw_title(picture, now)
        if self.is_paused:
            return
        if self.has_class("-empty") != (picture is None):
            self.set_class(picture is None, "-empty")
            self.refresh_bindings()
        if picture is None:
            self._draw_empty(now)
            return
        with self.app.batch_update():
            self._draw_banner(now)
            self.draw_body(picture, now)

    def text(self, selector: str) -> Static:
        return self.query_one(selector, Static)

    async def attempt(self, order: Awaitable[dict[str, Any]]) -> dict[str, Any] | None:
        """What a peer says to an order; None where it refuses, and why is shown."""
        try:
            return await order
        except CortexError as error:
            words = ". ".join(filter(None, (error.message, error.hint)))
            self.notify(words, severity="error", markup=False)
            return None

    def _draw_title(self, picture: FleetPicture | None, now: datetime) -> None:
        words = ["no fleet yet"]
        if picture is not None:
            words = [picture.fleet[:8] or "no fleet", *self.heading(picture)]
        if self.HEAD:
            words.insert(1, self.HEAD)
        right = f"{now:%H:%M:%S} "
        if self._paused is not None:
            right = f"PAUSED {age((now - self._paused).total_seconds())}  {right}"
        room = max(self.size.width - len(right), 0)
        left = title_line(f" cortex{self.frame.look.dot}", words, room)
        self.text("#title").update(Text(left + right, no_wrap=True))

    def _draw_empty(self, now: datetime) -> None:
        watched = self.frame.watched
        words = _EMPTY.format(
            sought=self.frame.sought,
            looked_s=(now - watched.began).total_seconds(),
            problem=watched.lost.error.message if watched.lost else "none yet",
        )
        self.text("#empty").update(words)

    def _draw_banner(self, now: datetime) -> None:
        banner, watched = self.text("#banner"), self.frame.watched
        banner.display = not watched.is_fresh
        self.query_one("#body").set_class(not watched.is_fresh, "-lost")
        if not watched.is_fresh and watched.seen is not None:
            banner.update(f" {_stale(watched, watched.seen, now)}")

    def action_pause(self) -> None:
        self._paused = None if self._paused else self.frame.now()
        self.draw()

    def action_ask_again(self) -> None:
        self.on_beat()
        self.draw()

    @on(Resize)
    @on(ScreenResume)
    def _catch_up(self) -> None:
        self.draw()


def _stale(watched: Watched, seen: datetime, now: datetime) -> str:
    """How old the picture is, and what is done about it."""
    since = age((now - seen).total_seconds())
    lost = watched.lost
    if lost is None:
        return f"as it was {since} ago; asking now"
    again = f"trying again in {lost.retry_s:g} s" if lost.retry_s else "trying the others"
    if not watched.address:
        return f"as it was {since} ago, {again}: {lost.error.message}"
    return f"lost {watched.address}, {again} (last data {seen:%H:%M:%S}, {since} ago)"


def title_line(beginning: str, words: list[str], num_cells: int) -> str:
    """So many cells, with as many of the words as fit."""
    while words and cell_len(beginning + "  ".join(words)) >= num_cells:
        words = words[:-1]
    return set_cell_size(beginning + "  ".join(words), num_cells)
