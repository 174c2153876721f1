"""What fits into one datagram. What does not is passed over for a smaller one behind it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from .codec import pack, packed_bytes
from .envelope import MAX_MESSAGE_BYTES
from .messages import Gossip
from .records import LoadRecord

# The key of a list, and the header of a long one.
_LIST_BYTES = 4


def with_loads(message: Gossip, loads: Iterable[LoadRecord]) -> Gossip:
    """The message with those that fit: they are told again soon, and its rumours are not."""
    room_bytes = MAX_MESSAGE_BYTES - _LIST_BYTES - len(pack(message))
    taken: list[LoadRecord] = []
    for record in loads:
        if (num_bytes := packed_bytes(record)) <= room_bytes:
            taken.append(record)
            room_bytes -= num_bytes
    return replace(message, loads=tuple(taken))


def trimmed(record: LoadRecord, limit_bytes: int) -> LoadRecord:
    """The record with as many of its models as fit, the first of them first."""
    while record.models and packed_bytes(record) > limit_bytes:
        record = replace(record, models=record.models[:-1])
    return record
