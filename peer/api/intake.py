"""Request bodies: how they are read, and how many bytes of them a peer holds at one time.

A body may be 64 MiB and there may be many at once: past a common bound new ones are turned away
before they are read, so that no crowd of clients costs unbounded memory. Room is held while a body
keeps arriving, and after that for what really came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from aiohttp import web
from aiohttp.http import HttpProcessingError

from cortex.engine.errors import InvalidRequest, Overloaded

from ..errors import RequestTimeout, RequestTooLarge

# A client that sends nothing for so long in the middle of a body has gone. One that has fallen
# behind this pace by as much only holds room: a slow line is faster.
_STALL_S = 30.0
_SLOWEST_BYTES_PER_S = 32 * 1024
# While more than half of all room is held: a few slow ones must not keep all others out for long.
_SLOWEST_WHEN_FULL_BYTES_PER_S = 256 * 1024
_STALL_WHEN_FULL_S = 5.0
# Most requests are small: a part of the room is theirs alone, however many large ones are silent.
_SMALL_BYTES = 1024 * 1024
_ROOM_FOR_SMALL_BYTES = 64 * 1024 * 1024


class Body(Protocol):
    """Bytes on their way: whatever has come, and nothing once all has."""

    def is_eof(self) -> bool:
        """Whether all has come: then nothing has to be waited for."""
        ...

    async def readany(self) -> bytes: ...


class Intake:
    def __init__(
        self, max_body_bytes: int, max_total_bytes: int, *, stall_s: float = _STALL_S
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.stall_s = stall_s
        self._max_total_bytes = max_total_bytes
        self._held_bytes = 0
        self._for_small_bytes = min(
            _ROOM_FOR_SMALL_BYTES,
            max_total_bytes // 8,
            max(max_total_bytes - max_body_bytes, 0),
        )
        self._read_now: set[Room] = set()

    @contextmanager
    def room_for(self, declared_bytes: int | None, encoding: str | None) -> Generator[Room]:
        """Hold room for one body; one of undeclared length counts as the largest allowed.

        Raises InvalidRequest for a compressed body, whose true size nobody knows before it is
        opened, RequestTooLarge or Overloaded, all before a byte is read.
        """
        if encoding is not None and encoding.strip().lower() not in ("", "identity"):
            raise InvalidRequest(
                f"content-encoding: {encoding[:40]!r} is not taken", "send the body uncompressed"
            )
        size_bytes = self.max_body_bytes if declared_bytes is None else declared_bytes
        self.check_size(size_bytes)
        kept_bytes = 0 if size_bytes <= _SMALL_BYTES else self._for_small_bytes
        if self._held_bytes + size_bytes > self._max_total_bytes - kept_bytes:
            raise Overloaded("too many large requests are under way", "try again in a moment")
        room = Room(self, size_bytes)
        self._held_bytes += size_bytes
        if self._is_short:
            for one in self._read_now:
                one.hurry()
        try:
            yield room
        finally:
            self._held_bytes -= room.size_bytes

    @contextmanager
    def reading(self, room: Room) -> Generator[None]:
        """It is told to hurry where room becomes short."""
        self._read_now.add(room)
        try:
            yield
        finally:
            self._read_now.discard(room)

    @property
    def slowest_bytes_per_s(self) -> int:
        return _SLOWEST_WHEN_FULL_BYTES_PER_S if self._is_short else _SLOWEST_BYTES_PER_S

    @property
    def pause_s(self) -> float:
        """The longest in which nothing comes."""
        return min(self.stall_s, _STALL_WHEN_FULL_S) if self._is_short else self.stall_s

    @property
    def _is_short(self) -> bool:
        return self._held_bytes > self._max_total_bytes // 2

    def shrink(self, room: Room, size_bytes: int) -> None:
        self._held_bytes -= room.size_bytes - size_bytes
        room.size_bytes = size_bytes

    def check_size(self, size_bytes: int) -> None:
        if size_bytes > self.max_body_bytes:
            raise RequestTooLarge(
                f"a body of {size_bytes} bytes is over the limit of {self.max_body_bytes}",
                "send smaller pictures",
            )


class Room:
    """The part of an intake that one body has."""

    def __init__(self, intake: Intake, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._intake = intake
        self._limit = asyncio.Timeout(None)
        self._num_come_bytes = 0
        self._began_s = self._heard_s = 0.0

    async def read(self, content: Body) -> bytes:
        """The whole body; from then on no more room is held than it needs.

        Raises RequestTooLarge once it is over the limit, RequestTimeout where it comes too slowly,
        InvalidRequest where it is broken.
        """
        try:
            body = await self._read_all(content)
        except TimeoutError:
            raise RequestTimeout(
                f"the body stopped arriving for {self._intake.pause_s:g} s, or came at less than"
                f" {self._intake.slowest_bytes_per_s // 1024} KiB/s",
                "send it in one go",
            ) from None
        except (web.RequestPayloadError, HttpProcessingError):
            # What exactly was wrong quotes the client's bytes: they stay out of the log.
            raise InvalidRequest("the body broke off, or its chunks are malformed") from None
        self._intake.shrink(self, len(body))
        return body

    async def _read_all(self, content: Body) -> bytes:
        if content.is_eof():  # most bodies are here as soon as their heads
            body = await content.readany()
            self._intake.check_size(len(body))
            return body
        chunks: list[bytes] = []
        now_s = asyncio.get_running_loop().time
        self._began_s = now_s()
        async with self._limit:
            with self._intake.reading(self):
                while True:
                    self._heard_s = now_s()
                    self.hurry()
                    chunk = await content.readany()
                    if not chunk:
                        return b"".join(chunks)
                    chunks.append(chunk)
                    self._num_come_bytes += len(chunk)
                    self._intake.check_size(self._num_come_bytes)

    def hurry(self) -> None:
        """How long it is waited for what comes next, as room is now."""
        intake = self._intake
        paced_s = self._began_s + self._num_come_bytes / intake.slowest_bytes_per_s
        due_s = min(self._heard_s + intake.pause_s, paced_s + intake.stall_s)
        if not self._limit.expired():
            self._limit.reschedule(due_s)
