"""Work that many ask for at once, and that nobody needs done twice at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """What is under way has begun before others ask, and may not see what they know of: they share
    the next time. It goes on when they leave.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[T] | None = None

    def asked(self) -> asyncio.Task[T]:
        if self._next is None:
            self._next = asyncio.create_task(self._do())
        return self._next

    async def _do(self) -> T:
        async with self._turn:
            self._next = None
            return await self._work()
