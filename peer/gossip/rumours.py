"""What a peer still has to tell the others, and what of it goes into the next datagram.

A rumour is sent so many times and then forgotten; a newer one on the same subject takes its
place. What has been sent least goes first. Whether a rumour is true is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .codec import packed_bytes
from .ids import NodeId
from .records import Fact, Rumour

Subject: TypeAlias = tuple[NodeId, int | None]


@dataclass(slots=True)
class _Waiting:
    rumour: Rumour
    num_bytes: int
    order: int
    sent: int = 0


class RumourQueue:
    """The rumours that are not yet worn out, one for each subject."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: dict[Subject, _Waiting] = {}
        self._told = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def tell(self, rumour: Rumour) -> None:
        """Start telling this, and stop telling what was said before of the same subject.

        What no datagram could carry is not told: synchronisation brings it.
        """
        self._told += 1
        waiting = _Waiting(rumour, packed_bytes(rumour), self._told)
        self._waiting.pop(subject_of(rumour), None)
        if waiting.num_bytes <= self._max_bytes:
            self._waiting[subject_of(rumour)] = waiting

    def drop(self, node: NodeId) -> None:
        """Nothing of this peer needs telling any more."""
        for subject in [subject for subject in self._waiting if subject[0] == node]:
            del self._waiting[subject]

    def take(self, budget_bytes: int, max_copies: int) -> tuple[Rumour, ...]:
        """The least told rumours that fit together; each of them counts as sent once more.

        At equal counts a peer's standing goes before its facts, which mean nothing without it.
        """
        taken: list[Rumour] = []
        for waiting in sorted(self._waiting.values(), key=_urgency):
            if waiting.num_bytes > budget_bytes:
                continue
            budget_bytes -= waiting.num_bytes
            taken.append(waiting.rumour)
            waiting.sent += 1
            if waiting.sent >= max_copies:
                del self._waiting[subject_of(waiting.rumour)]
        return tuple(taken)


def subject_of(rumour: Rumour) -> Subject:
    """A peer's standing is one subject, each of its sections another."""
    return rumour.node, rumour.section if isinstance(rumour, Fact) else None


def _urgency(waiting: _Waiting) -> tuple[int, bool, int]:
    return waiting.sent, isinstance(waiting.rumour, Fact), -waiting.order
