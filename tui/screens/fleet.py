"""The fleet on one screen: its peers, one of them seen closely, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Static

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture

from ..closely import Closely
from ..frame import Frame
from ..peer_table import PEERS
from ..widgets.detail import detail, shortened
from ..widgets.keys_line import OWN
from .choice import Choice, Option
from .framed import WIDE_CELLS
from .peer import PeerScreen, whole
from .plan import PlanDialog
from .table_screen import TableScreen

SIDE_CELLS = 80
_OWN = Binding.Group(OWN)
_DRAINS = (
    "It takes nothing new; what is under way goes on.",
    "It takes requests again.",
)


class FleetScreen(TableScreen[PeerPicture]):
    WHAT = "peers"
    SEARCHED = "name, state, device or model"
    ORDERS = frozenset({"load", "unload", "drain"})
    LEGEND: ClassVar = {
        "PEER *": "The peer that is asked.",
        "RUN": "Requests running, and + waiting.",
        "TOK/S": "Tokens a second of one answer, the mean of those under way.",
        "SEEN": "How long ago it was last heard of.",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "detail", "Details", id="fleet.detail", show=False),
        Binding("l", "load", "Load", id="fleet.load", group=_OWN),
        Binding("u", "unload", "Unload", id="fleet.unload", group=_OWN),
        Binding("D", "drain", "Drain", id="fleet.drain", group=_OWN),
    ]

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame, PEERS)
        self._closely = Closely(frame)

    @property
    def _has_side(self) -> bool:
        """Whether the peer with the cursor stands beside the table."""
        return self.size.width >= 2 * SIDE_CELLS

    @property
    def is_wide(self) -> bool:
        return self.size.width - self._has_side * SIDE_CELLS >= WIDE_CELLS

    def compose_body(self) -> ComposeResult:
        yield from self.compose_table()
        yield Static(id="detail")
        events = Static(id="events", markup=False)
        events.border_title = "events"
        yield events

    def items(self) -> Sequence[PeerPicture]:
        picture = self.frame.watched.picture
        return picture.peers if picture is not None else ()

    def id_of(self, item: PeerPicture) -> str:
        return item.name

    def draw_body(self, picture: FleetPicture, now: datetime) -> None:
        self.draw_table()
        self._draw_chosen()
        lines = [*wording.worries(picture), *self.frame.watched.events(now)]
        self.text("#events").update(Text("\n".join(lines) or "nothing yet"))

    def on_beat(self) -> None:
        if not self.is_paused:
            self._look_closely()

    def row_changed(self) -> None:
        self._draw_chosen()
        self._look_closely()

    def _draw_chosen(self) -> None:
        self._draw_detail()
        self.offer_orders()

    def action_detail(self) -> None:
        if (peer := self.chosen) is not None:
            self.app.push_screen(PeerScreen(self.frame, peer.node))

    @work
    async def action_load(self) -> None:
        """Which of the models on the peer's disk, and then the plan."""
        if (peer := self.chosen) is not None:
            options = [Option(id, id) for id in _loadable(peer)]
            model = await self.app.push_screen_wait(Choice(f"load on {peer.name}", options))
            if model is not None:
                await self.app.push_screen_wait(PlanDialog(self.frame, model, peer.name))

    @work
    async def action_unload(self) -> None:
        if (peer := self.chosen) is not None:
            options = [Option(wording.model(model), model.id) for model in peer.models]
            words = "What it is answering ends first."
            choice = Choice(f"unload from {peer.name}", options, words)
            model = await self.app.push_screen_wait(choice)
            if model is not None:
                await self.attempt(self.frame.acting.unload(model, peer.name))

    @work
    async def action_drain(self) -> None:
        if (peer := self.chosen) is not None:
            options = [Option(_DRAINS[peer.state == "draining"], peer.name)]
            if await self.app.push_screen_wait(Choice(f"drain {peer.name}", options)) is not None:
                is_drained = peer.state != "draining"
                await self.attempt(self.frame.acting.drain(peer.name, drained=is_drained))

    @on(DataTable.RowSelected)
    def _enter(self) -> None:
        self.action_detail()

    @work
    async def _look_closely(self) -> None:
        """Once for each row on which the cursor comes to rest."""
        node = None
        while (now := self.table.chosen) is not None and now != node:
            node = now
            if not self.frame.watched.is_fresh or not await self._closely.look(node):
                return
            if self.can_draw:
                self._draw_detail()

    def orders_for(self, item: PeerPicture) -> frozenset[str]:
        """A plan harms nobody."""
        if item.is_gone:
            return frozenset()
        orders = {"load"} if _loadable(item) else set[str]()
        if not self.frame.acting.is_read_only:
            orders |= {"unload", "drain"} if item.models else {"drain"}
        return frozenset(orders)

    def _draw_detail(self) -> None:
        panel, peer = self.text("#detail"), self.chosen
        panel.display = peer is not None
        if peer is None:
            return
        where = f"  http://{peer.api}/v1" if peer.api else ""
        panel.border_title = Text(f"{peer.name}{where}").markup
        course, look = self.frame.watched.course(peer.node), self.frame.look
        close = self._closely.of(peer.node) if not peer.is_gone else None
        if self._has_side:
            lines = [*whole(peer, close, course, look, SIDE_CELLS - 4, self.frame.now())]
            # The title, the keys, a border, and perhaps a banner.
            lines = shortened(lines, self.size.height - 5, look, num_last=0)
        else:
            lines = detail(peer, close, course, look, self.size.width - 4)
            lines = shortened(lines, max(self.size.height // 3 - 2, 5), look, num_last=2)
        panel.update(Text("\n", no_wrap=True).join(lines))


def _loadable(peer: PeerPicture) -> list[str]:
    loaded = {model.id for model in peer.models}
    return [id for id in peer.stored if id not in loaded]
