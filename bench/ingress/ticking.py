"""Streams kept to their pace: whose turn it is, and when.

Each stream belongs to one group and gets an event an interval; the groups' turns are spread over
the interval. What an event is, and where it goes, the streams know.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

from .canned import EVENTS_PER_S

# Gives one event to each of these streams; returns those that go on.
Give = Callable[[Sequence[str], float], Sequence[str]]


class Ticker:
    """Deals streams out to `num_groups` groups, and has events given to them in turn."""

    def __init__(self, num_groups: int, give: Give) -> None:
        self._give = give
        self._groups: list[list[str]] = [[] for _ in range(num_groups)]
        self._next_group = itertools.cycle(range(num_groups))

    def add(self, stream_id: str) -> None:
        self._groups[next(self._next_group)].append(stream_id)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        interval_s = 1 / EVENTS_PER_S / len(self._groups)
        due_s = loop.time()
        for place in itertools.cycle(range(len(self._groups))):
            due_s += interval_s
            await asyncio.sleep(due_s - loop.time())
            if group := self._groups[place]:
                self._groups[place] = list(self._give(group, time.monotonic()))
