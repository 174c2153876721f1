"""What the core asks of its surroundings, and what it tells them.

The core does no input or output: datagrams to send and these events are all that comes out. Those
that ask for something over TCP name a ticket, which comes back with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .ids import ModelId, NodeId
from .members import Standing
from .messages import LoadAnswer, Message
from .records import Address


@dataclass(frozen=True, slots=True)
class Send:
    """Seal this and send it there. Losing it is no error."""

    address: Address
    message: Message


@dataclass(frozen=True, slots=True)
class MemberChanged:
    node: NodeId
    after: Standing


@dataclass(frozen=True, slots=True)
class FactsChanged:
    node: NodeId


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """Our own numbers moved. The generation must be on disk before anything more is sent."""

    node: NodeId
    gen: int
    reason: str


@dataclass(frozen=True, slots=True)
class TcpPing:
    """Ask this peer over TCP whether it is there; answer with `core.on_tcp_answer`."""

    node: NodeId
    address: Address
    ticket: int


@dataclass(frozen=True, slots=True)
class SyncDue:
    """Compare tables with this peer over HTTP."""

    node: NodeId
    address: Address


@dataclass(frozen=True, slots=True)
class LoadAsked:
    """Somebody wants to send a request here: answer with `core.answer_load`."""

    address: Address
    seq: int
    model: ModelId


@dataclass(frozen=True, slots=True)
class LoadAnswered:
    answer: LoadAnswer


@dataclass(frozen=True, slots=True)
class Refused:
    """A peer will not talk to us, or we not to it."""

    node: NodeId
    address: Address
    reason: str
    by_us: bool


@dataclass(frozen=True, slots=True)
class ObservedAs:
    """Another peer sees our packets come from here."""

    address: Address


@dataclass(frozen=True, slots=True)
class Resumed:
    """The machine slept for so long, or its clock was put on; nobody is accused for a while."""

    slept_s: float


Event: TypeAlias = (
    MemberChanged
    | FactsChanged
    | IdentityChanged
    | TcpPing
    | SyncDue
    | LoadAsked
    | LoadAnswered
    | Refused
    | ObservedAs
    | Resumed
)
