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
from ..rows import PEERS
from ..widgets.detail import detail, shortened
from .peer import PeerScreen
from .table_screen import TableScreen


class FleetScreen(TableScreen[PeerPicture]):
    WHAT = "peers"
    SEARCHED = "name, state, device or model"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "detail", "Details", id="fleet.detail", show=False),
    ]

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame, PEERS)
        self._closely = Closely(frame)

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
        self._draw_detail()
        lines = [*wording.worries(picture), *self.frame.watched.events]
        self.text("#events").update(Text("\n".join(lines) or "nothing yet"))

    def on_beat(self) -> None:
        if not self.is_paused:
            self._look_closely()

    def row_changed(self) -> None:
        self._draw_detail()
        self._look_closely()

    def action_detail(self) -> None:
        if (peer := self.chosen) is not None:
            self.app.push_screen(PeerScreen(self.frame, peer.node))

    @on(DataTable.RowSelected)
    def _enter(self) -> None:
        self.action_detail()

    @work
    async def _look_closely(self) -> None:
        """Once for each row on which the cursor comes to rest."""
        node = None
        while (now := self.table.chosen) is not None and now != node:
            node = now
            if self.frame.watched.lost is not None or not await self._closely.look(node):
                return
            if self.can_draw:
                self._draw_detail()

    def _draw_detail(self) -> None:
        panel, peer = self.text("#detail"), self.chosen
        panel.display = peer is not None
        if peer is None:
            return
        where = f"  http://{peer.api}/v1" if peer.api else ""
        panel.border_title = Text(f"{peer.name}{where}").markup
        watched, look = self.frame.watched, self.frame.look
        close = self._closely.of(peer.node) if peer.state not in ("dead", "left") else None
        lines = detail(peer, close, watched.course(peer.node), look, self.size.width - 4)
        panel.update(
            Text("\n", no_wrap=True).join(shortened(lines, max(self.size.height // 3 - 2, 5), look))
        )
