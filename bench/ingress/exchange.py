"""One client connection over plain sockets: bytes sent as they are, the end of each reply found.

It costs little, which is its point: the load must not take the machine from those it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from . import canned

_EVENT = b"data: {"
_LAST_CHUNK = b"0\r\n\r\n"


class BadReply(Exception):
    """A reply that is no success: the measurement says nothing."""


class Exchange(asyncio.Protocol):
    """Sends requests one at a time. `on_end` is called with the moment a reply was whole."""

    def __init__(self, on_end: Callable[[Exchange, float], None]) -> None:
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._read = bytearray()
        # Of the reply that is coming: None until its head is here; then its size, or -1 for one
        # that comes in chunks.
        self._reply_bytes: int | None = None
        self.sent_s = 0.0
        self.error: BadReply | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
        assert self._transport is not None, "it is connected"
        self.sent_s = time.monotonic()
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        self._read += data
        if self._reply_bytes is None and not self._read_head():
            return
        if self._reply_bytes == -1:
            is_whole = self._read.endswith(_LAST_CHUNK)
        else:
            is_whole = len(self._read) >= cast(int, self._reply_bytes)
        if is_whole:
            self._end(now_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply_bytes is not None or self._read:
            self._fail("the connection broke off in a reply")

    def _read_head(self) -> bool:
        """Whether the head is here, and cut off."""
        end = self._read.find(b"\r\n\r\n") + 4
        if end < 4:
            return False
        head = bytes(self._read[:end]).lower()
        if b" 200 " not in head[:16]:
            self._fail(bytes(self._read[:400]).decode("utf-8", "replace"))
        del self._read[:end]
        _, has_length, rest = head.partition(b"content-length:")
        self._reply_bytes = int(rest.partition(b"\r\n")[0]) if has_length else -1
        return True

    def _end(self, now_s: float) -> None:
        self._read.clear()
        self._reply_bytes = None
        self._on_end(self, now_s)

    def _fail(self, what: str) -> None:
        self.error = self.error or BadReply(what)


class EventExchange(Exchange):
    """A connection on which a stream comes: it keeps when each event was given away and read.

    Answers without stamps have events all the same: `reads` says how many came when.
    """

    def __init__(self, on_end: Callable[[Exchange, float], None]) -> None:
        super().__init__(on_end)
        self.arrivals_s: list[tuple[float, float]] = []
        self.reads: list[tuple[float, int]] = []
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        self.reads.append((now_s, data.count(_EVENT)))
        stamps_s, self._tail = canned.stamps_s(self._tail + data)
        self.arrivals_s += [(stamp_s, now_s) for stamp_s in stamps_s]
        if self._reply_bytes == -1:
            del self._read[:-16]  # the end's mark may be torn
        super().data_received(data)


def request_bytes(path: str, body: bytes) -> bytes:
    """A request as it goes over the wire; without a body it is a GET."""
    if not body:
        return f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer sk-bench\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
