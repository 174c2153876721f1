"""The peer's asynchronous door, used from a command that reads like a script.

The event loop has a thread of its own: while a person thinks at the prompt, a private node's
heartbeats go on, and ctrl-c reaches the command as the plain KeyboardInterrupt it expects.
It knows nothing of chat or models.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# How many things a source may be ahead of whoever prints them.
_AHEAD = 64


class Bridge:
    """A running event loop, and the ways to wait for what it does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end and give its result; interrupted, cancel it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    @contextlib.contextmanager
    def entered(self, manager: AbstractAsyncContextManager[T]) -> Generator[T]:
        """An asynchronous context, entered and left by one task, as task groups demand."""
        leave = asyncio.Event()
        with contextlib.closing(self.iterate(_held(manager, leave))) as values:
            value = next(values)
            try:
                yield value
            finally:
                self._loop.call_soon_threadsafe(leave.set)
                for _ in values:
                    pass  # gives nothing more: this waits until the context is left

    def iterate(self, source: AsyncGenerator[T]) -> Generator[T]:
        """What `source` gives, thing by thing; closing this closes the source.

        One task runs the source from its beginning to its end, so that it may hold task groups
        and timeouts across its yields.
        """
        pump = self.call(_started(source))
        try:
            while (thing := self.call(pump.next())) is not None:
                yield thing[0]
        finally:
            self.call(pump.stop())


class _Pump(Generic[T]):
    """A source being read, by its own task, into a queue of bounded length."""

    def __init__(self, source: AsyncGenerator[T]) -> None:
        self._queue: asyncio.Queue[tuple[T]] = asyncio.Queue(_AHEAD)
        self._task = asyncio.create_task(self._read(source))

    async def next(self) -> tuple[T] | None:
        """The next thing, or None at the source's end; raises what the source raised."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        getting = asyncio.create_task(self._queue.get())
        try:
            await asyncio.wait({getting, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
        finally:
            getting.cancel()
        self._task.result()
        return None

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        # What a source raises while it is closed is news; that it was cancelled is not.
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    async def _read(self, source: AsyncGenerator[T]) -> None:
        async with contextlib.aclosing(source):
            async for thing in source:
                await self._queue.put((thing,))


async def _started(source: AsyncGenerator[T]) -> _Pump[T]:
    return _Pump(source)


async def _held(manager: AbstractAsyncContextManager[T], leave: asyncio.Event) -> AsyncGenerator[T]:
    async with manager as value:
        yield value
        await leave.wait()


@contextlib.contextmanager
def bridge() -> Generator[Bridge]:
    """A bridge to a loop that lives as long as the block."""
    loop = asyncio.new_event_loop()
    # A daemon: an impatient second ctrl-c ends the program, whatever the loop is still doing.
    thread = threading.Thread(target=loop.run_forever, name="bridge", daemon=True)
    thread.start()
    try:
        yield Bridge(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
