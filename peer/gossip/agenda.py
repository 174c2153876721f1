"""What is to be done when: the timers of a core that has no clock.

Entries due at the same time run in the order they were entered, so a run with the same inputs
is the same run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

Task = Callable[[float], None]


class Agenda:
    """A queue of tasks by time. A task that has become pointless finds out itself when it runs."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Task]] = []
        self._entered = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def next_s(self) -> float | None:
        return self._entries[0][0] if self._entries else None

    def at(self, due_s: float, task: Task) -> None:
        self._entered += 1
        heapq.heappush(self._entries, (due_s, self._entered, task))

    def pop_due(self, now_s: float) -> Task | None:
        """The next task whose time has come."""
        if not self._entries or self._entries[0][0] > now_s:
            return None
        return heapq.heappop(self._entries)[2]
