"""Events of which the next ones may be looked at before they are read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Self

from cortex.engine.stream import Event


class Ahead:
    """Use as `async with Ahead(events)`: what is still being read when the block ends is left. The
    events are closed by whoever made them.
    """

    def __init__(self, events: AsyncGenerator[Event]) -> None:
        self._events = events
        self._seen: deque[Event] = deque()
        self._next: asyncio.Task[Event] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})
            if not self._next.cancelled():
                self._next.exception()  # nobody wants to know any more

    async def look(self, limit_s: float, is_enough: Callable[[Event], bool]) -> None:
        """Return when such an event has come, or the end, or after that time."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + limit_s
        while not (self._seen and is_enough(self._seen[-1])):
            self._next = self._next or asyncio.create_task(self._read())
            await asyncio.wait({self._next}, timeout=max(0.0, until_s - clock()))
            if not self._next.done() or self._next.exception() is not None:
                return  # whoever reads it is told the error
            self._seen.append(self._next.result())
            self._next = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._seen:
            return self._seen.popleft()
        if self._next is None:
            return await anext(self._events)
        event = await self._next
        self._next = None
        return event

    async def _read(self) -> Event:
        return await anext(self._events)
