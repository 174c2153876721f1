"""A source that blocks, for a loop that must not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import TypeVar

from cortex.engine.errors import CortexError

T = TypeVar("T")


async def from_thread(source: Generator[T]) -> AsyncGenerator[T]:
    """What the source gives until it raises, read by a thread that ends with it."""
    loop = asyncio.get_running_loop()
    arrivals: asyncio.Queue[T | CortexError] = asyncio.Queue()

    def arrive(one: T | CortexError) -> None:
        loop.call_soon_threadsafe(arrivals.put_nowait, one)

    def read() -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody listens
            try:
                for one in source:
                    arrive(one)
            except CortexError as error:
                arrive(error)

    threading.Thread(target=read, daemon=True).start()
    while not isinstance(one := await arrivals.get(), CortexError):
        yield one
    raise one
