"""A lock that many hold at once, or one alone, in the order of their coming.

Nobody overtakes who waits to be alone. All of it happens on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Guest:
    is_alone: bool
    admitted: asyncio.Future[None]


class SharedLock:
    def __init__(self) -> None:
        self._inside: set[_Guest] = set()
        self._queue: deque[_Guest] = deque()

    @contextmanager
    def held(self, *, alone: bool) -> Generator[asyncio.Future[None]]:
        """Wait for the lock, or hold it, for as long as the block lasts; await what it gives
        before anything else. A cancelled wait leaves no trace.
        """
        guest = _Guest(alone, asyncio.get_running_loop().create_future())
        self._queue.append(guest)
        self._admit()
        try:
            yield guest.admitted
        finally:
            self._inside.discard(guest)
            if guest in self._queue:
                self._queue.remove(guest)
            self._admit()

    def _admit(self) -> None:
        while self._queue:
            is_alone = self._queue[0].is_alone or any(guest.is_alone for guest in self._inside)
            if self._inside and is_alone:
                return
            guest = self._queue.popleft()
            self._inside.add(guest)
            if not guest.admitted.done():
                guest.admitted.set_result(None)
