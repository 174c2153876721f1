"""The requests of the whole fleet on one screen, and how to end one. Nobody's words are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from cortex.peer.onlooker import request_wording as wording
from cortex.peer.onlooker.pictures import FleetPicture
from cortex.peer.onlooker.request_pictures import (
    RequestPicture,
    RequestsPicture,
    read_requests,
)
from cortex.peer.onlooker.understanding import understood

from ..frame import Frame
from ..request_table import REQUESTS
from ..widgets.keys_line import OWN
from .asking_screen import AskingScreen
from .choice import Choice, Option


class RequestsScreen(AskingScreen[RequestPicture, RequestsPicture]):
    WHAT = "requests"
    SEARCHED = "id, model, peer or stage"
    HEAD = "Requests"
    NOTHING = "Nothing is running. Try: cortex chat"
    ORDERS = frozenset({"cancel"})
    LEGEND: ClassVar = {
        "PEER": "Where it came to > who answers.",
        "IN, OUT": "Tokens of the prompt, and of the answer so far.",
        "TTFT": "How long its first token took.",
        "TOK/S": "Tokens a second of the answer, since its first.",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "cancel", "Cancel", id="requests.cancel", group=Binding.Group(OWN)),
    ]

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame, REQUESTS)

    def heading(self, picture: FleetPicture) -> list[str]:
        if self.told is None:
            return []
        silent = [f"{missing.peer} does not say" for missing in self.told.missing]
        return [*wording.counts(self.told), *silent]

    async def ask(self) -> RequestsPicture:
        return understood(read_requests, await self.frame.acting.ask("/requests", fleet=1))

    def rows_of(self, told: RequestsPicture) -> Sequence[RequestPicture]:
        return told.requests

    def details_of(self, item: RequestPicture) -> str:
        return "\n".join(wording.detail(item))

    def orders_for(self, item: RequestPicture) -> frozenset[str]:
        return frozenset() if self.frame.acting.is_read_only else self.ORDERS

    @work
    async def action_cancel(self) -> None:
        one = self.chosen
        if one is None:
            return
        options = [Option("end it: its client gets what there is, and an error", one.id)]
        words = "\n".join(wording.detail(one))
        if await self.app.push_screen_wait(Choice(f"cancel {one.id}", options, words)):
            await self.attempt(self.frame.acting.cancel_request(one.id))
            self.on_beat()

    @on(DataTable.RowSelected)
    def _show_all(self) -> None:
        self.text("#detail").toggle_class("-whole")
