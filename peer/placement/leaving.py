"""Which models go though nobody waits for their place: the memory is others' now, or they have
been idle for too long. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .books import DeviceBooks, Resident

# Why a model went: another had its place ("lru" or "priority", by the strategy), nobody had used it
# for long ("idle"), other programs took the memory ("foreign"), somebody said so ("asked"), its
# files had changed ("changed"), or a model that is at home here came back ("home").
LeaveReason = Literal["lru", "priority", "idle", "foreign", "asked", "changed", "home", "small"]


@dataclass(frozen=True, slots=True)
class Leaver:
    id: str
    reason: LeaveReason


def leavers(books: DeviceBooks, ttl_s: Callable[[str], float | None]) -> list[Leaver]:
    """Those that go now, of the idle ones; `ttl_s` is how long one may be idle, None for ever."""
    idle = [each for each in books.residents if _is_idle(each)]
    expired = [each for each in idle if _left_s(each, ttl_s) == 0.0]
    missing_bytes = -books.free_bytes - sum(each.reserved_bytes for each in expired)
    gone = [Leaver(each.id, "idle") for each in expired]
    for each in sorted(idle, key=lambda one: (-one.idle_s, one.id)):
        if missing_bytes > 0 and each not in expired:
            gone.append(Leaver(each.id, "foreign"))
            missing_bytes -= each.reserved_bytes
    return gone


def next_expiry_s(books: DeviceBooks, ttl_s: Callable[[str], float | None]) -> float | None:
    """When one has been idle for too long, if nobody asks it until then."""
    times_s = (_left_s(each, ttl_s) for each in books.residents if _is_idle(each))
    return min((each for each in times_s if each is not None), default=None)


def _is_idle(resident: Resident) -> bool:
    return resident.state == "ready" and not resident.num_inflight and not resident.is_pinned


def _left_s(resident: Resident, ttl_s: Callable[[str], float | None]) -> float | None:
    most_s = ttl_s(resident.id)
    return None if most_s is None else max(most_s - resident.idle_s, 0.0)
