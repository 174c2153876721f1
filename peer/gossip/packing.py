"""What a message takes along: as many rumours and load records as fit into one datagram.

The first are the first to be taken; one that does not fit is passed over for a smaller one behind
it. Rumours come before load records: those are told again soon, and a death is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from .codec import pack, packed_bytes
from .envelope import MAX_MESSAGE_BYTES
from .messages import Ack, Gossip, Ping
from .records import LoadRecord, Rumour

Carrier = TypeVar("Carrier", bound=Ping | Ack | Gossip)
Record = TypeVar("Record")

# The longest array whose header is one byte (msgpack's fixarray); above, it has three.
_SHORT_ARRAY_ITEMS = 15
_LONG_HEADER_BYTES = 2


def filled(
    message: Carrier,
    rumours: Iterable[Rumour],
    loads: Iterable[LoadRecord],
    limit_bytes: int = MAX_MESSAGE_BYTES,
) -> Carrier:
    """The message with what fits of these, in place of what it carried."""
    bare = msgspec.structs.replace(message, rumours=(), loads=())
    room_bytes = limit_bytes - len(pack(bare))
    told, room_bytes = _fitting(rumours, room_bytes)
    carried, _ = _fitting(loads, room_bytes)
    return msgspec.structs.replace(bare, rumours=told, loads=carried)


def trimmed(record: LoadRecord, limit_bytes: int) -> LoadRecord:
    """The record with as many of its models as fit, the first of them first."""
    while record.models and packed_bytes(record) > limit_bytes:
        record = msgspec.structs.replace(record, models=record.models[:-1])
    return record


def _fitting(records: Iterable[Record], room_bytes: int) -> tuple[tuple[Record, ...], int]:
    """Those that fit into the room, and the room that is left."""
    taken: list[Record] = []
    for record in records:
        spent_bytes = packed_bytes(record)
        if not taken:
            spent_bytes += 2  # the key, and the array's header
        elif len(taken) == _SHORT_ARRAY_ITEMS:
            spent_bytes += _LONG_HEADER_BYTES
        if spent_bytes <= room_bytes:
            taken.append(record)
            room_bytes -= spent_bytes
    return tuple(taken), room_bytes
