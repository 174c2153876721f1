"""One peer in full: what it is, its devices, whom it reaches how fast, what happened at it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.details import PeerDetail
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture
from cortex.peer.units import age

from ..closely import Closely
from ..frame import Frame
from ..look import Look
from ..moments import local_time, moment
from ..watched import Course
from ..widgets.detail import detail
from ..widgets.keys_line import OWN
from ..widgets.memory_bar import legend
from .framed import FramedScreen


class PeerScreen(FramedScreen):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="peer.back", group=Binding.Group(OWN)),
    ]

    def __init__(self, frame: Frame, node: str) -> None:
        super().__init__(frame)
        self._node = node
        self._closely = Closely(frame)

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="peer"):
            yield Static(id="peer-text", markup=False)

    def on_mount(self) -> None:
        self.query_one("#peer").focus()
        self._look_closely()

    def heading(self, picture: FleetPicture) -> list[str]:
        peer = self._peer(picture)
        return ["Peer"] if peer is None else [f"Peer {peer.name}", peer.state]

    def draw_body(self, picture: FleetPicture, now: datetime) -> None:
        peer = self._peer(picture)
        if peer is None:
            self.text("#peer-text").update("It is no longer in the fleet.")
            return
        close, look = self._closely.of(peer.node), self.frame.look
        course = self.frame.watched.course(peer.node)
        lines = [*whole(peer, close, course, look, self.size.width - 4, now)]
        if close is None and self._closely.problem:
            lines.append(Text(f"\n{self._closely.problem}", style=look.tones.worth_a_look))
        self.text("#peer-text").update(Text("\n").join(lines))

    def on_beat(self) -> None:
        if not self.is_paused:
            self._look_closely()

    def action_back(self) -> None:
        self.app.pop_screen()

    @work
    async def _look_closely(self) -> None:
        if await self._closely.look(self._node):
            self.draw()

    def _peer(self, picture: FleetPicture) -> PeerPicture | None:
        return next((one for one in picture.peers if one.node == self._node), None)


def whole(
    peer: PeerPicture,
    close: PeerDetail | None,
    course: Course,
    look: Look,
    num_cells: int,
    now: datetime,
) -> Iterator[Text]:
    """All that is known of a peer; `close` is what it tells itself."""
    yield from (Text(f"{name:<10}{words}") for name, words in _facts(peer, close))
    yield Text("")
    yield from detail(peer, close, course, look, num_cells)
    if close is not None:
        yield Text("")
        yield legend(look)
        yield from _round_trips(close, look)
        yield from _events(close, now)


def _facts(peer: PeerPicture, close: PeerDetail | None) -> Iterator[tuple[str, str]]:
    yield "state", f"{peer.state}, seen {wording.seen(peer)} ago"
    yield "api", f"http://{peer.api}/v1" if peer.api else wording.NOTHING
    yield "fleet", peer.address or wording.NOTHING
    yield "version", close.version if close else peer.build
    if close is not None:
        yield "up", age(close.uptime_s)
    yield "key", (close.key_id if close else peer.key_used) or wording.NOTHING
    yield "node", peer.node
    if peer.roles:
        yield "roles", ", ".join(peer.roles)


def _round_trips(close: PeerDetail, look: Look) -> Iterator[Text]:
    if close.round_trips:
        words = look.dot.join(f"{one.peer} {one.ms:.1f} ms" for one in close.round_trips)
        yield Text("")
        yield Text(f"round trips  {words}")


def _events(close: PeerDetail, now: datetime) -> Iterator[Text]:
    if close.events:
        yield Text("")
        yield Text("lately", style="bold")
    for event in reversed(close.events):
        when = local_time(event.time_s)
        yield Text(f"{moment(when, now)}  ", style="dim").append(event.text, style="not dim")
