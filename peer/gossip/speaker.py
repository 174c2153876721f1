"""Puts words together: every message of ours, filled with rumours as far as a datagram goes.

It knows the size limit and what waits to be told; it does not know why a message is sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from .codec import packed_bytes
from .envelope import MAX_MESSAGE_BYTES
from .events import Event, Send
from .ids import NodeId
from .members import Members
from .messages import RELAYED, Ack, Gossip, Message, Nack, Ping, PingRequest, Target, Versions
from .own import Own
from .packing import with_loads
from .records import Address, LoadRecord, Rumour
from .rumours import RumourQueue
from .timing import Timing

# What is left for lists in the widest message.
ROOM_BYTES = MAX_MESSAGE_BYTES - 96


class Speaker:
    """The outbox of a core."""

    def __init__(
        self,
        own: Own,
        members: Members,
        rumours: RumourQueue,
        timing: Timing,
        versions: Versions,
    ) -> None:
        self._own = own
        self._members = members
        self._rumours = rumours
        self._timing = timing
        self._versions = versions
        self._sends: list[Send] = []
        self._events: list[Event] = []

    def poll(self) -> tuple[list[Send], list[Event]]:
        """All that has come together since the last call."""
        sends, events = self._sends, self._events
        self._sends, self._events = [], []
        return sends, events

    def emit(self, event: Event) -> None:
        self._events.append(event)

    def send(self, address: Address, message: Message) -> None:
        self._sends.append(Send(address, message))

    def ping(
        self,
        address: Address,
        to: NodeId | None,
        seq: int,
        challenge: bytes,
        first: Sequence[Rumour] = (),
    ) -> None:
        message = Ping(
            node=self._own.node,
            gen=self._own.gen,
            seq=seq,
            challenge=challenge,
            to=to,
            rumours=self._filled(first, ROOM_BYTES),
            versions=self._versions,
        )
        self.send(address, message)

    def ack(self, address: Address, ping: Ping, load: LoadRecord, first: Sequence[Rumour]) -> None:
        message = Ack(
            node=self._own.node,
            gen=self._own.gen,
            seq=ping.seq,
            load=load,
            challenge=ping.challenge,
            rumours=self._filled(first, ROOM_BYTES - packed_bytes(load)),
            observed=address,
        )
        self.send(address, message)

    def relay_ack(self, address: Address, seq: int, load: LoadRecord) -> None:
        own = self._own
        self.send(address, Ack(node=own.node, gen=own.gen, seq=seq, load=load, flags=RELAYED))

    def nack(self, address: Address, seq: int) -> None:
        self.send(address, Nack(node=self._own.node, gen=self._own.gen, seq=seq))

    def ping_request(self, address: Address, seq: int, target: Target) -> None:
        own = self._own
        self.send(address, PingRequest(node=own.node, gen=own.gen, seq=seq, target=target))

    def gossip(
        self, address: Address, first: Sequence[Rumour] = (), loads: Sequence[LoadRecord] = ()
    ) -> None:
        """Rumours, after them the loads that still fit."""
        own = self._own
        bare = Gossip(node=own.node, gen=own.gen, rumours=self._filled(first, ROOM_BYTES))
        self.send(address, with_loads(bare, loads) if loads else bare)

    def _filled(self, first: Sequence[Rumour], room_bytes: int) -> tuple[Rumour, ...]:
        room_bytes -= sum(packed_bytes(rumour) for rumour in first)
        copies = self._timing.copies(self._members.num_reachable + 1)
        waiting = self._rumours.take(room_bytes, copies) if len(self._rumours) else ()
        return (*first, *waiting)
