"""Request bodies: how they are read, and how many bytes of them a peer holds at one time.

A body may be 64 MiB and there may be many at once: past a common bound new ones are turned away
before they are read, so that no crowd of clients costs unbounded memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from aiohttp import StreamReader

from cortex.engine.errors import InvalidRequest, Overloaded

from ..errors import RequestTooLarge

# A client that sends nothing for so long in the middle of a body has gone.
_STALL_S = 30.0


class Intake:
    def __init__(self, max_body_bytes: int, max_total_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._max_total_bytes = max_total_bytes
        self._held_bytes = 0

    @contextmanager
    def room_for(self, declared_bytes: int | None) -> Generator[None]:
        """Hold room for one body; one of undeclared length counts as the largest allowed.

        Raises RequestTooLarge or Overloaded before a byte is read.
        """
        size_bytes = self._max_body_bytes if declared_bytes is None else declared_bytes
        self._check_size(size_bytes)
        if self._held_bytes + size_bytes > self._max_total_bytes:
            raise Overloaded("too many large requests are under way", "try again in a moment")
        self._held_bytes += size_bytes
        try:
            yield
        finally:
            self._held_bytes -= size_bytes

    async def read(self, content: StreamReader) -> bytes:
        """The whole body.

        Raises RequestTooLarge once it is over the limit, InvalidRequest where it stops arriving.
        """
        chunks: list[bytes] = []
        size_bytes = 0
        try:
            while True:
                async with asyncio.timeout(_STALL_S):
                    chunk = await content.readany()
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)
                size_bytes += len(chunk)
                self._check_size(size_bytes)
        except TimeoutError:
            raise InvalidRequest("the body stopped arriving before its end") from None

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_body_bytes:
            raise RequestTooLarge(
                f"a body of {size_bytes} bytes is over the limit of {self._max_body_bytes}",
                "send smaller pictures",
            )
