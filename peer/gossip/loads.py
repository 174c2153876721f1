"""How busy each peer said it was, and how long ago that was.

Ages, not times: a record carries how old it is, whoever holds it adds the time he held it, so two
clocks are never compared. Of two records of a peer the owner's higher counter wins. A record that
changes something is passed on more often than one that only says "still so". What to make of a
load is the router's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from .ids import NodeId
from .records import LoadRecord

CHANGED_COPIES = 6
UNCHANGED_COPIES = 2
MAX_AGE_DS = 0xFFFF_FFFF
# The largest record of our own: models that are too many for it are told by section 3 alone.
LOAD_BYTES = 300


@dataclass(slots=True)
class _Held:
    record: LoadRecord
    written_s: float  # by our own clock
    is_change: bool
    copies_left: int


class LoadTable:
    """The newest record of every peer, our own included."""

    def __init__(self) -> None:
        self._held: dict[NodeId, _Held] = {}
        # Those of them that are still passed on.
        self._waiting: dict[NodeId, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def learn(self, record: LoadRecord, now_s: float) -> bool:
        """Take a record if it is newer than the one that is held."""
        held = self._held.get(record.node)
        if held is not None and record.lv <= held.record.lv:
            return False
        changed = held is None or differs(held.record, record)
        copies = CHANGED_COPIES if changed else UNCHANGED_COPIES
        news = _Held(record, now_s - record.age_ds / 10, changed, copies)
        self._held[record.node] = self._waiting[record.node] = news
        return True

    def forget(self, node: NodeId) -> None:
        self._held.pop(node, None)
        self._waiting.pop(node, None)

    def of(self, node: NodeId, now_s: float) -> LoadRecord | None:
        """The record of one peer, with its age by now."""
        held = self._held.get(node)
        return None if held is None else _aged(held, now_s)

    @property
    def has_changes(self) -> bool:
        """True where something waits that a router would act on."""
        return any(held.is_change for held in self._waiting.values())

    def take_youngest(self, limit: int, copies: int, now_s: float) -> tuple[LoadRecord, ...]:
        """What to pass on now to so many peers: the youngest of what is not yet worn out."""
        youngest = sorted(self._waiting.values(), key=lambda held: -held.written_s)[:limit]
        for held in youngest:
            held.copies_left -= copies
            if held.copies_left <= 0:
                del self._waiting[held.record.node]
        return tuple(_aged(held, now_s) for held in youngest)


def differs(before: LoadRecord, after: LoadRecord) -> bool:
    """True where a router might decide differently: a request more, a tenth of a rate."""
    return (
        before.num_inflight != after.num_inflight
        or before.num_queued != after.num_queued
        or before.flags != after.flags
        or before.models != after.models
        or abs(before.kv_percent - after.kv_percent) >= 10
        or any(_moved(*rates) for rates in zip(_rates(before), _rates(after), strict=False))
        or len(before.free_mib) != len(after.free_mib)
    )


def _rates(record: LoadRecord) -> Sequence[int]:
    return (record.first_token_ms, record.decode_tokens_per_s, *record.free_mib)


def _moved(before: int, after: int) -> bool:
    return abs(after - before) * 10 >= max(before, after) > 0


def _aged(held: _Held, now_s: float) -> LoadRecord:
    age_ds = round((now_s - held.written_s) * 10)
    return replace(held.record, age_ds=min(max(age_ds, 0), MAX_AGE_DS))
