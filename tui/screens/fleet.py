"""The fleet on one screen: its peers, one of them in full, and what happened.

It draws what it is given; keys change how, never the fleet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture

from ..frame import Frame
from ..rows import PEERS
from ..widgets.detail import detail
from .table_screen import TableScreen


class FleetScreen(TableScreen[PeerPicture]):
    WHAT = "peers"
    SEARCHED = "name, state, device or model"

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame, PEERS)

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
        self.row_changed()
        lines = [*wording.worries(picture), *self.frame.watched.events]
        self.text("#events").update(Text("\n".join(lines) or "nothing yet"))

    def row_changed(self) -> None:
        panel, peer = self.text("#detail"), self.chosen
        panel.display = peer is not None
        if peer is not None:
            where = f"  http://{peer.api}/v1" if peer.api else ""
            panel.border_title = Text(f"{peer.name}{where}").markup
            panel.update(detail(peer, self.frame.look))
