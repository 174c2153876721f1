"""The wishes that wait, in their order, and what they are told of their wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cortex.engine.errors import CortexError
from cortex.engine.stream import Stage

from .places import Place, PlaceBook, Ticket


class WishQueue:
    def __init__(self, places: PlaceBook) -> None:
        self._places = places
        self._tickets: list[Ticket] = []

    def __iter__(self) -> Iterator[Ticket]:
        return iter(tuple(self._tickets))

    def __bool__(self) -> bool:
        return bool(self._tickets)

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket in self._tickets

    def add(self, ticket: Ticket) -> None:
        """Behind all others, but those that have been served in part."""
        is_first = next((n for n, t in enumerate(self._tickets) if not t.has_begun), None)
        at = len(self._tickets) if is_first is None or not ticket.has_begun else is_first
        self._tickets.insert(at, ticket)

    def put_back(self, tickets: Sequence[Ticket]) -> None:
        """Before all others: they have been served in part. They are told at once."""
        self._tickets = [*tickets, *self._tickets]
        for ticket in tickets:
            self.tell_one(ticket)

    def drop(self, ticket: Ticket) -> None:
        if ticket in self._tickets:
            self._tickets.remove(ticket)

    def wants(self, model_id: str) -> bool:
        return any(ticket.model.id == model_id for ticket in self._tickets)

    def those_for(self, model_id: str) -> list[Ticket]:
        return [ticket for ticket in self._tickets if ticket.model.id == model_id]

    def take(self, model_id: str) -> list[Ticket]:
        """Those that wait for this model, which wait no more."""
        taken = self.those_for(model_id)
        self._tickets = [ticket for ticket in self._tickets if ticket.model.id != model_id]
        return taken

    def fail(self, model_id: str, error: CortexError) -> None:
        for ticket in self.take(model_id):
            ticket.on_failed(error)

    def without_place(self) -> dict[str, list[Ticket]]:
        """By models that have none, those first for which somebody waits longest."""
        waiting: dict[str, list[Ticket]] = {}
        for ticket in self._tickets:
            if ticket.model.id not in self._places:
                waiting.setdefault(ticket.model.id, []).append(ticket)
        return waiting

    def tell(self, place: Place, stage: Stage) -> None:
        """A load has come so far."""
        place.stage = stage
        for number, ticket in enumerate(self):
            self._tell(ticket, number)

    def tell_one(self, ticket: Ticket) -> None:
        self._tell(ticket, self._tickets.index(ticket))

    def _tell(self, ticket: Ticket, number: int) -> None:
        place = self._places.of(ticket.model.id)
        if (
            place is None
            or place.state != "loading"
            or not place.serves(ticket.model, ticket.extent)
        ):
            queued = Stage("queued", number + 1, len(self._tickets), "place")
            # Who had a place has lost its engine: that is to be known wherever it may go on.
            ticket.on_stage(Stage("starting") if ticket.granted_s else queued)
        elif place.stage is not None:
            ticket.on_stage(place.stage)
