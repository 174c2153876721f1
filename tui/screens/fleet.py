"""The fleet on one screen: its peers, one of them in full, what happened, and whether anybody is
seen at all.

It draws what it is given; keys change how, never the fleet.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.pictures import FleetPicture
from cortex.peer.units import age

from ..look import Look
from ..rows import COLUMNS, arranged
from ..watched import Watched
from ..widgets.detail import detail
from ..widgets.peers import PeersTable

_WIDE_CELLS = 120
_EMPTY = """\
No peer answers yet. Looked at {sought} for {looked_s:.0f} s.
The last word: {problem}.

  cortex peer                      start a peer on this machine
  cortex peer --join HOST:13132    the same, with the address of another
  cortex tui --peer HOST:13131     look through a peer of another machine
  cortex doctor                    find out why nothing is found

Still looking: this screen changes by itself when a peer appears."""


class FleetScreen(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", id="fleet.filter"),
        Binding("s", "sort", "Sort", id="fleet.sort"),
        Binding("S", "reverse", "Reverse", id="fleet.reverse", show=False),
        Binding("p", "pause", "Pause", id="fleet.pause"),
        Binding("escape", "clear", "Clear filter", id="fleet.clear", show=False),
        Binding("j", "down", "Down", id="fleet.down", show=False),
        Binding("k", "up", "Up", id="fleet.up", show=False),
    ]

    def __init__(
        self, look: Look, watched: Watched, sought: str, now: Callable[[], datetime]
    ) -> None:
        super().__init__()
        self._now = now
        self._look = look
        self._watched = watched
        self._sought = sought
        self._wanted = ""
        self._sort_by: int | None = None
        self._is_reversed = False
        self._paused: datetime | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="banner")
        yield Static("Too little room: 60 by 15 characters are needed.", id="room")
        yield Static(id="empty", markup=False)
        with Vertical(id="body"):
            yield PeersTable(self._look)
            yield Input(placeholder="name, state, device or model", id="filter", compact=True)
            yield Static(id="detail")
            yield Static(id="events")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        for name in ("filter", "banner"):
            self.query_one(f"#{name}").display = False
        self.query_one("#events").border_title = "events"
        self.query_one(PeersTable).focus()

    def draw(self, now: datetime) -> None:
        # The beat and the news outlive the screen. It stops running before its first widget goes,
        # and nothing is awaited below.
        if not (self.is_mounted and self.is_running):
            return
        picture = self._watched.picture
        self._draw_title(picture, now)
        if self._paused is not None:
            return
        self.set_class(picture is None, "-empty")
        if picture is None:
            self._draw_empty(now)
            return
        with self.app.batch_update():
            self._draw_banner()
            self._draw_peers(picture)
            self._draw_detail(picture)
            self._draw_events(picture)

    def _draw_title(self, picture: FleetPicture | None, now: datetime) -> None:
        words = ["no fleet yet"]
        if picture is not None:
            words = [picture.fleet[:8] or "no fleet", *wording.heading(picture)[1:]]
        right = f"{now:%H:%M:%S} "
        if self._paused is not None:
            right = f"PAUSED {age((now - self._paused).total_seconds())}  {right}"
        room = max(self.size.width - len(right), 0)
        left = _as_many_as_fit(f" cortex{self._look.dot}", words, room)
        self._text("#title").update(Text(f"{left:<{room}}{right}", no_wrap=True))

    def _draw_empty(self, now: datetime) -> None:
        lost = self._watched.lost
        words = _EMPTY.format(
            sought=self._sought,
            looked_s=(now - self._watched.began).total_seconds(),
            problem=lost.error.message if lost else "none yet",
        )
        self._text("#empty").update(words)

    def _draw_banner(self) -> None:
        banner, watched = self._text("#banner"), self._watched
        banner.display = watched.lost is not None
        self.query_one("#body").set_class(watched.lost is not None, "-lost")
        if watched.lost is not None and watched.seen is not None:
            retry_s = watched.lost.retry_s
            again = f"trying again in {retry_s:g} s" if retry_s else "trying the others"
            banner.update(f" lost {watched.address}, {again} (last data {watched.seen:%H:%M:%S})")

    def _draw_peers(self, picture: FleetPicture) -> None:
        table = self.query_one(PeersTable)
        found = arranged(picture.peers, self._wanted, self._sort_by, is_reversed=self._is_reversed)
        table.show(found, is_wide=self.size.width >= _WIDE_CELLS)
        words = ["peers"]
        if self._wanted:
            words.append(f"/ {self._wanted} ({len(found)} of {len(picture.peers)})")
        if self._sort_by is not None or self._is_reversed:
            head = "order" if self._sort_by is None else COLUMNS[self._sort_by].head
            words.append(f"by {head.lower()}{', reversed' if self._is_reversed else ''}")
        table.border_title = Text("  ".join(words)).markup

    def _draw_detail(self, picture: FleetPicture) -> None:
        panel, node = self._text("#detail"), self.query_one(PeersTable).chosen
        peer = next((one for one in picture.peers if one.node == node), None)
        panel.display = peer is not None
        if peer is not None:
            where = f"  http://{peer.api}/v1" if peer.api else ""
            panel.border_title = Text(f"{peer.name}{where}").markup
            panel.update(detail(peer, self._look))

    def _draw_events(self, picture: FleetPicture) -> None:
        lines = [*wording.worries(picture), *self._watched.events]
        self._text("#events").update(Text("\n".join(lines) or "nothing yet"))

    def _text(self, selector: str) -> Static:
        return self.query_one(selector, Static)

    def _redraw(self) -> None:
        """What a key changed is seen at once, paused or not: it is about the same picture."""
        picture = self._watched.picture
        if picture is not None:
            self._draw_peers(picture)
            self._draw_detail(picture)

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_clear(self) -> None:
        field = self.query_one("#filter", Input)
        field.clear()
        field.display = False
        self._wanted = ""
        self.query_one(PeersTable).focus()
        self._redraw()

    def action_sort(self) -> None:
        """Through the columns, and back to the order in which they come."""
        order = [None, *range(len(COLUMNS))]
        self._sort_by = order[(order.index(self._sort_by) + 1) % len(order)]
        self._redraw()

    def action_reverse(self) -> None:
        self._is_reversed = not self._is_reversed
        self._redraw()

    def action_pause(self) -> None:
        self._paused = None if self._paused else self._now()
        self.draw(self._now())

    def action_down(self) -> None:
        self.query_one(PeersTable).action_cursor_down()

    def action_up(self) -> None:
        self.query_one(PeersTable).action_cursor_up()

    @on(Input.Changed, "#filter")
    def _narrow(self, event: Input.Changed) -> None:
        self._wanted = event.value
        self._redraw()

    @on(Input.Submitted, "#filter")
    def _back_to_table(self) -> None:
        self.query_one("#filter").display = bool(self._wanted)
        self.query_one(PeersTable).focus()

    @on(PeersTable.RowHighlighted)
    def _show_chosen(self) -> None:
        if self._watched.picture is not None:
            self._draw_detail(self._watched.picture)

    @on(Resize)
    def _fit(self) -> None:
        self.draw(self._now())


def _as_many_as_fit(beginning: str, words: list[str], room: int) -> str:
    while words and len(beginning + "  ".join(words)) >= room:
        words = words[:-1]
    return (beginning + "  ".join(words))[:room]
