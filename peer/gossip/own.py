"""What a peer says of itself: the one row that nobody else may write."""

from __future__ import annotations

from dataclasses import dataclass, field

from .facts import Facts
from .identity import Identity
from .ids import NodeId
from .members import Standing, State
from .records import Address, Alive, Contact, Left, LoadRecord


@dataclass(slots=True)
class Own:
    """Our identity, our facts and our load. Only this process changes them."""

    identity: Identity
    address: Address
    facts: Facts = field(default_factory=Facts)
    load_version: int = 0
    has_left: bool = False

    @property
    def node(self) -> NodeId:
        return self.identity.node

    @property
    def gen(self) -> int:
        return self.identity.gen

    @property
    def standing(self) -> Standing:
        state = State.LEFT if self.has_left else State.ALIVE
        return Standing(self.identity.gen, self.identity.inc, state)

    def claim(self) -> Alive | Left:
        """What we say of ourselves."""
        gen, inc, state = self.standing
        if state is State.LEFT:
            return Left(self.node, gen, inc)
        contact = Contact(self.address.ip, self.address.port, self.facts.complete)
        return Alive(self.node, gen, inc, contact)

    def no_load(self) -> LoadRecord:
        """The load of a peer that has not said anything about it yet."""
        return LoadRecord(self.node, 0, 0, 0, 0, 0, 0, 0, 0)
