"""The messages that peers send each other in datagrams.

A message is a msgpack map with small integers for keys; KEYS gives every field its own, the same
in all messages. How they become bytes is `codec.py`'s; what they mean is known by who sends them.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from .ids import MAX_ITEMS, U32, Challenge, Ip, Model, Node, Port, Word
from .records import Address, LoadRecord, Rumour

KEYS = {
    "node": 1,
    "gen": 2,
    "seq": 3,
    "to": 4,
    "challenge": 5,
    "load": 6,
    "rumours": 7,
    "loads": 8,
    "target": 9,
    "observed": 10,
    "flags": 11,
    "versions": 12,
    "model": 13,
    # 14 stays unused: a peer of before is to read the answers and refusals of this one.
    "verdict": 15,
    "wait_ms": 16,
    "reason": 17,
}
TYPE_KEY = 0

Rumours = Annotated[tuple[Rumour, ...], Meta(max_length=MAX_ITEMS)]
Loads = Annotated[tuple[LoadRecord, ...], Meta(max_length=MAX_ITEMS)]
# What the asked peer would do with the request: begin it, let it wait, or refuse it.
Verdict: TypeAlias = Literal["accept", "queue", "busy"]
# Bits of Ack.flags: the answer to a ping-req, whose target has answered.
RELAYED = 1


class Versions(Struct, frozen=True, array_like=True):
    """The protocol's minor versions that a peer speaks."""

    lowest: U32
    highest: U32


# The minor versions that this program speaks.
SPOKEN = Versions(1, 1)


class Target(Struct, frozen=True, array_like=True):
    node: Node
    ip: Ip
    port: Port


class Ping(Struct, frozen=True, kw_only=True):
    """Are you there? `to` is None where only an address is known yet."""

    node: Node
    gen: U32
    seq: U32
    challenge: Challenge
    to: Node | None = None
    load: LoadRecord | None = None
    rumours: Rumours = ()
    loads: Loads = ()
    versions: Versions | None = None


class Ack(Struct, frozen=True, kw_only=True):
    """I am. `challenge` is the asker's, echoed; `observed` is where it seems to send from.

    A relayed ack tells of a target that answered: it has no challenge to echo.
    """

    node: Node
    gen: U32
    seq: U32
    load: LoadRecord
    challenge: Challenge | None = None
    rumours: Rumours = ()
    loads: Loads = ()
    observed: Address | None = None
    flags: U32 = 0


class PingRequest(Struct, frozen=True, kw_only=True):
    """Please ask that one for me: I had no answer."""

    node: Node
    gen: U32
    seq: U32
    target: Target


class Nack(Struct, frozen=True, kw_only=True):
    """I am here, and the target of your ping-req has not answered me."""

    node: Node
    gen: U32
    seq: U32


class Gossip(Struct, frozen=True, kw_only=True):
    node: Node
    gen: U32
    rumours: Rumours = ()
    loads: Loads = ()


class LoadQuestion(Struct, frozen=True, kw_only=True):
    """Would you take a request for this model, now?"""

    node: Node
    gen: U32
    seq: U32
    model: Model


class LoadAnswer(Struct, frozen=True, kw_only=True):
    node: Node
    gen: U32
    seq: U32
    load: LoadRecord
    verdict: Verdict
    wait_ms: U32 = 0


class Refuse(Struct, frozen=True, kw_only=True):
    """We cannot talk, and this is why: "wrong protocol", "retired key", or a newer peer's word."""

    node: Node
    gen: U32
    seq: U32
    reason: Word


Message: TypeAlias = Ping | Ack | PingRequest | Nack | Gossip | LoadQuestion | LoadAnswer | Refuse

TYPES: dict[int, type[Message]] = {
    1: Ping,
    2: Ack,
    3: PingRequest,
    4: Nack,
    5: Gossip,
    6: LoadQuestion,
    7: LoadAnswer,
    9: Refuse,
}
