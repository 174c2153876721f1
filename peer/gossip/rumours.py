"""What a peer still has to tell the others, and what of it goes into the next datagram.

A rumour is sent so many times and then forgotten; a newer one on the same subject takes its
place. What has been sent least goes first. Whether a rumour is true is not known here.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple, TypeAlias

from .codec import packed_bytes
from .ids import NodeId
from .records import Fact, Rumour

Subject: TypeAlias = NodeId | tuple[NodeId, int]

# A datagram that has no room for so many, one after the other, is full.
_MAX_PASSED_OVER = 8
# So many that were replaced or dropped are not worth clearing away.
_FEW = 64


class _Waiting(NamedTuple):
    """In the order in which they go: the least told first, at equal counts a peer's standing before
    its facts, which mean nothing without it, and then the newest. No two have the same `age_rank`,
    which falls with every rumour.
    """

    sent: int
    is_fact: bool
    age_rank: int
    rumour: Rumour
    num_bytes: int


class RumourQueue:
    """The rumours that are not yet worn out, one for each subject."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: dict[Subject, _Waiting] = {}
        # A heap of them all, and of some that wait no longer.
        self._queue: list[_Waiting] = []
        self._told = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def tell(self, rumour: Rumour) -> None:
        """Start telling this, and stop telling what was said before of the same subject.

        What no datagram could carry is not told: synchronisation brings it.
        """
        self._told += 1
        num_bytes = packed_bytes(rumour)
        if num_bytes > self._max_bytes:
            self._waiting.pop(subject_of(rumour), None)
            return
        self._wait(_Waiting(0, isinstance(rumour, Fact), -self._told, rumour, num_bytes))
        if len(self._queue) > _FEW + 2 * len(self._waiting):
            self._queue = sorted(self._waiting.values())

    def drop(self, node: NodeId) -> None:
        """Nothing of this peer needs telling any more."""
        told = [each.rumour for each in self._waiting.values() if each.rumour.node == node]
        for rumour in told:
            del self._waiting[subject_of(rumour)]

    def take(self, budget_bytes: int, max_copies: int) -> tuple[Rumour, ...]:
        """The least told rumours that fit together; each of them counts as sent once more."""
        taken: list[_Waiting] = []
        passed_over: list[_Waiting] = []
        while self._queue and len(passed_over) < _MAX_PASSED_OVER:
            waiting = heapq.heappop(self._queue)
            if self._waiting.get(subject_of(waiting.rumour)) is not waiting:
                continue
            if waiting.num_bytes > budget_bytes:
                passed_over.append(waiting)
                continue
            budget_bytes -= waiting.num_bytes
            taken.append(waiting)
        for waiting in taken:
            if waiting.sent + 1 < max_copies:
                self._wait(waiting._replace(sent=waiting.sent + 1))
            else:
                del self._waiting[subject_of(waiting.rumour)]
        for waiting in passed_over:
            heapq.heappush(self._queue, waiting)
        return tuple(waiting.rumour for waiting in taken)

    def _wait(self, waiting: _Waiting) -> None:
        self._waiting[subject_of(waiting.rumour)] = waiting
        heapq.heappush(self._queue, waiting)


def subject_of(rumour: Rumour) -> Subject:
    """A peer's standing is one subject, each of its sections another."""
    return (rumour.node, rumour.section) if isinstance(rumour, Fact) else rumour.node
