"""What a peer still has to tell the others, and what of it goes into the next datagram.

A rumour is sent so many times and then forgotten; a newer one on the same subject takes its
place. What has been sent least goes first. Whether a rumour is true is not known here.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TypeAlias

from .codec import packed_bytes
from .ids import NodeId
from .records import Fact, Rumour

Subject: TypeAlias = tuple[NodeId, int | None]
_Urgency: TypeAlias = tuple[int, bool, int]

# A datagram that has no room for so many, one after the other, is full.
_MAX_PASSED_OVER = 8
# So many that were replaced or dropped are not worth clearing away.
_FEW = 64


@dataclass(slots=True)
class _Waiting:
    """`is_over` where it was replaced, dropped or told often enough."""

    rumour: Rumour
    num_bytes: int
    order: int
    sent: int = 0
    is_over: bool = False

    @property
    def urgency(self) -> _Urgency:
        """The least told goes first; at equal counts a peer's standing goes before its facts, which
        mean nothing without it, and then the newest. No two have the same.
        """
        return self.sent, isinstance(self.rumour, Fact), -self.order


class RumourQueue:
    """The rumours that are not yet worn out, one for each subject."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: dict[Subject, _Waiting] = {}
        # A heap of them all, and of some that wait no longer.
        self._queue: list[tuple[_Urgency, _Waiting]] = []
        self._told = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def tell(self, rumour: Rumour) -> None:
        """Start telling this, and stop telling what was said before of the same subject.

        What no datagram could carry is not told: synchronisation brings it.
        """
        self._told += 1
        waiting = _Waiting(rumour, packed_bytes(rumour), self._told)
        subject = subject_of(rumour)
        self._end(subject)
        if waiting.num_bytes <= self._max_bytes:
            self._waiting[subject] = waiting
            self._enqueue(waiting)

    def drop(self, node: NodeId) -> None:
        """Nothing of this peer needs telling any more."""
        for subject in [subject for subject in self._waiting if subject[0] == node]:
            self._end(subject)

    def take(self, budget_bytes: int, max_copies: int) -> tuple[Rumour, ...]:
        """The least told rumours that fit together; each of them counts as sent once more."""
        taken: list[_Waiting] = []
        passed_over: list[_Waiting] = []
        while self._queue and len(passed_over) < _MAX_PASSED_OVER:
            _, waiting = heapq.heappop(self._queue)
            if waiting.is_over:
                continue
            if waiting.num_bytes > budget_bytes:
                passed_over.append(waiting)
                continue
            budget_bytes -= waiting.num_bytes
            taken.append(waiting)
        for waiting in taken:
            waiting.sent += 1
            if waiting.sent >= max_copies:
                self._end(subject_of(waiting.rumour))
        for waiting in (*taken, *passed_over):
            if not waiting.is_over:
                heapq.heappush(self._queue, (waiting.urgency, waiting))
        return tuple(waiting.rumour for waiting in taken)

    def _enqueue(self, waiting: _Waiting) -> None:
        heapq.heappush(self._queue, (waiting.urgency, waiting))
        if len(self._queue) > _FEW + 2 * len(self._waiting):
            self._queue = [(each.urgency, each) for each in self._waiting.values()]
            heapq.heapify(self._queue)

    def _end(self, subject: Subject) -> None:
        waiting = self._waiting.pop(subject, None)
        if waiting is not None:
            waiting.is_over = True


def subject_of(rumour: Rumour) -> Subject:
    """A peer's standing is one subject, each of its sections another."""
    return rumour.node, rumour.section if isinstance(rumour, Fact) else None
