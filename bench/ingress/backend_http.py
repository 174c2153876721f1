"""The canned answers as HTTP chat completions, by a server that does as little as it can.

It looks at no more of a request than where it ends and what answer it wants.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import cast

import msgspec

from . import canned
from .canned import Wish
from .ticking import Ticker

_JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class _Body(msgspec.Struct):
    max_tokens: int = canned.AT_ONCE.num_events
    seed: int = 0
    stream: bool = False


class HttpAnswers:
    """All connections of one backend, and the streams on them."""

    def __init__(self, groups: Sequence[int]) -> None:
        self.tickers = {number: Ticker(number, self._give) for number in groups}
        reply = canned.reply_body()
        self.whole = _JSON_HEAD % len(reply) + reply
        self._ids = itertools.count()
        # What each stream has left, and where it goes.
        self._streams: dict[str, tuple[int, asyncio.Transport]] = {}

    def begin(self, wish: Wish, transport: asyncio.Transport) -> None:
        transport.write(_STREAM_HEAD + _sized(canned.chunk({"role": "assistant", "content": ""})))
        stream_id = str(next(self._ids))
        self._streams[stream_id] = (wish.num_events, transport)
        self.tickers[wish.num_groups].add(stream_id)

    def _give(self, stream_ids: Sequence[str], now_s: float) -> list[str]:
        event = _sized(canned.chunk({"content": canned.event_text(now_s)}))
        return [stream_id for stream_id in stream_ids if self._give_one(stream_id, event)]

    def _give_one(self, stream_id: str, event: bytes) -> bool:
        """Whether the stream goes on."""
        num_left, transport = self._streams[stream_id]
        if transport.is_closing():
            del self._streams[stream_id]
            return False
        if num_left > 1:
            transport.write(event)
            self._streams[stream_id] = (num_left - 1, transport)
            return True
        end = canned.chunk({}, "stop") + b"data: [DONE]\n\n"
        transport.write(event + _sized(end) + b"0\r\n\r\n")
        del self._streams[stream_id]
        return False


class HttpConnection(asyncio.Protocol):
    """Requests one after the other, each answered when its last byte is here."""

    def __init__(self, answers: HttpAnswers) -> None:
        self._answers = answers
        self._read = bytearray()
        self._wanted_bytes: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._wanted_bytes is None:
            head_bytes = self._read.find(b"\r\n\r\n") + 4
            if head_bytes < 4:
                return
            head = bytes(self._read[:head_bytes]).lower()
            self._wanted_bytes = head_bytes + _content_length(head)
            self._head_bytes = head_bytes
        if len(self._read) >= self._wanted_bytes:
            body = bytes(self._read[self._head_bytes : self._wanted_bytes])
            del self._read[: self._wanted_bytes]
            self._wanted_bytes = None
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        asked = msgspec.json.decode(body, type=_Body) if body else _Body()
        if asked.stream:
            self._answers.begin(Wish(asked.max_tokens, asked.seed), self._transport)
        else:
            self._transport.write(self._answers.whole)


def _content_length(head: bytes) -> int:
    _, found, rest = head.partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _sized(data: bytes) -> bytes:
    """One chunk of a chunked reply."""
    return b"%x\r\n%b\r\n" % (len(data), data)
