"""What peers say about each other: rumours, load records, rows. Their form is the wire's.

Each is a msgpack array in the order of its fields. A newer sender may append to an array: what
stands behind the known fields is passed over. Which record wins over which is not known here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from .ids import ID_BYTES, MAX_ITEMS, U8, U32, Ip, Model, ModelId, Node, NodeId, Port

MAX_SECTIONS = 16
MAX_SECTION_BYTES = 4096

_BOUNDED = Meta(max_length=MAX_ITEMS)


class Address(Struct, frozen=True, array_like=True):
    """Where datagrams go to, or came from."""

    ip: Ip
    port: Port


class Contact(Struct, frozen=True, array_like=True):
    """Where a peer is reached, and the newest version of its facts."""

    ip: Ip
    port: Port
    ver: U32


class Alive(Struct, frozen=True, array_like=True, tag=1):
    node: Node
    gen: U32
    inc: U32
    contact: Contact


class Suspect(Struct, frozen=True, array_like=True, tag=2):
    """`accuser` has had no answer from `node`."""

    node: Node
    gen: U32
    inc: U32
    accuser: Node


class Dead(Struct, frozen=True, array_like=True, tag=3):
    node: Node
    gen: U32
    inc: U32
    accuser: Node


class Left(Struct, frozen=True, array_like=True, tag=4):
    """It said so itself."""

    node: Node
    gen: U32
    inc: U32


class Fact(Struct, frozen=True, array_like=True, tag=5):
    """One section of a peer's row, whole: it overwrites the older one."""

    node: Node
    gen: U32
    section: U8
    sver: U32
    content: Annotated[bytes, Meta(max_length=MAX_SECTION_BYTES)]


Rumour: TypeAlias = Alive | Suspect | Dead | Left | Fact
RUMOUR_KINDS = range(1, 6)


class ModelLoad(Struct, frozen=True, array_like=True):
    """`idle_step` is how long nobody has used it, `age_step` how long it has been ready, both in
    steps that double; 0 where it is not told. So is `speed_step`, of the tokens a second that one
    answer gets there.
    """

    model: Model
    num_inflight: U32
    num_queued: U32
    num_slots_free: U32
    idle_step: U8 = 0
    age_step: U8 = 0
    speed_step: U8 = 0


class LoadRecord(Struct, frozen=True, array_like=True):
    """How busy a peer is.

    `age_ds` is tenths of a second since the owner wrote it; each relay adds how long it held the
    record, so that no two clocks are compared. Of two records the one with the higher `lv` counts.
    `busy_percents` is how much of the time each device computes, None where its driver does not
    say, and empty where none does. Nobody decides by it.
    """

    node: Node
    lv: U32
    age_ds: U32
    flags: U32
    num_inflight: U32
    num_queued: U32
    kv_percent: U8
    first_token_ms: U32
    decode_tokens_per_s: U32
    free_mib: Annotated[tuple[U32, ...], _BOUNDED] = ()
    models: Annotated[tuple[ModelLoad, ...], _BOUNDED] = ()
    busy_percents: Annotated[tuple[U8 | None, ...], _BOUNDED] = ()

    @property
    def is_draining(self) -> bool:
        return bool(self.flags & LOAD_DRAINING)

    def of(self, model: ModelId) -> ModelLoad | None:
        return next((one for one in self.models if one.model == model), None)

    def has_waiting(self, model: ModelId) -> bool:
        """Whether one more request for it would wait: behind others for the same model, or where
        the peer does not have it, behind all that wait there.
        """
        own = self.of(model)
        if own is None:
            return self.num_queued > 0
        return own.num_queued > 0 or own.num_slots_free == 0


# Bits of LoadRecord.flags.
LOAD_DRAINING = 1
# That of nobody in particular.
NO_LOAD = LoadRecord(NodeId(bytes(ID_BYTES)), 0, 0, 0, 0, 0, 0, 0, 0)


class Section(Struct, frozen=True, array_like=True):
    """A fixed slot of a row: overwritten, never deleted. Unknown ones are passed on as they are."""

    section: U8
    sver: U32
    content: Annotated[bytes, Meta(max_length=MAX_SECTION_BYTES)]


class State(IntEnum):
    """What a peer is believed to be, in the order in which they win at an equal (gen, inc)."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Digest(Struct, frozen=True, array_like=True):
    """What one side of a synchronisation holds of one peer."""

    node: Node
    gen: U32
    inc: U32
    state: U8
    ver: U32


class Row(Struct, frozen=True, array_like=True):
    """All that is known of one peer. Only that peer writes it.

    `address` is None where only a verdict about the peer was heard, never its own word.
    `announced_ver` is how much it has written by its own word, where `ver` is how much is known.
    """

    node: Node
    gen: U32
    inc: U32
    state: U8
    ver: U32
    sections: Annotated[tuple[Section, ...], Meta(max_length=MAX_SECTIONS)] = ()
    address: Address | None = None
    announced_ver: U32 = 0
