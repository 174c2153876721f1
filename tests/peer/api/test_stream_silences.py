"""How long a streamed reply may say nothing, before its first token and after it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from cortex.engine.stream import Accepted, Event, Piece, TextDelta
from cortex.peer.api.context import LIVE
from cortex.peer.api.streaming import stream_reply
from cortex.peer.dialects.asked import Arrival
from cortex.peer.dialects.chat.parse import parse_chat
from cortex.peer.observing.live import LiveRequest

DEADLINE_S = 30
KEEP_ALIVE = b": keep-alive\n"
# Proxies commonly cut an answer off that has said nothing for thirty to sixty seconds.
LONGEST_SILENCE_S = 15
BODY = {"model": "fake", "messages": [{"role": "user", "content": "hello"}], "stream": True}


class Stream:
    """A reply whose events the test makes, and whose clock it puts forward."""

    def __init__(self) -> None:
        self.reply: ClientResponse | None = None
        self.ahead_s = 0.0
        self._events = asyncio.Queue[Event]()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        request[LIVE] = LiveRequest("one", "chat", "-", now_s=0.0)
        asked = parse_chat(json.dumps(BODY).encode(), Arrival(0, 0, "00"))
        return await stream_reply(request, self._told(), asked.teller)

    async def _told(self) -> AsyncGenerator[Event]:
        while True:
            yield await self._events.get()

    def say(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def pass_s(self, seconds: float) -> None:
        """What is due then happens."""
        self.ahead_s += seconds
        for _ in range(5):
            await asyncio.sleep(0)

    async def lines_until(self, part: bytes) -> list[bytes]:
        """What the client reads, and the line with that for the last."""
        assert self.reply is not None
        lines: list[bytes] = []
        async for line in self.reply.content:
            if line.strip():
                lines.append(line)
            if part in line:
                return lines
        raise AssertionError(f"the stream ended without {part!r}")


@asynccontextmanager
async def accepted_stream(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Stream]:
    """One that has told all that it has to tell before its first token."""
    stream, loop = Stream(), asyncio.get_running_loop()
    clock = loop.time
    app = web.Application()
    app.router.add_get("/", stream.answer)
    # Time passes besides: what never comes fails at the deadline.
    monkeypatch.setattr(loop, "time", lambda: clock() + stream.ahead_s)
    async with TestClient(TestServer(app)) as client, asyncio.timeout(DEADLINE_S):
        stream.say(Accepted(3, (), 99))
        async with client.get("/") as stream.reply:
            await stream.lines_until(b'"role":"assistant"')
            yield stream


async def test_a_stream_speaks_every_second_before_its_first_token(
    monkeypatch: pytest.MonkeyPatch,
):
    async with accepted_stream(monkeypatch) as stream:
        for _ in range(3):
            await stream.pass_s(1.0)
        stream.say(Piece((TextDelta("one"),)))
        assert (await stream.lines_until(b"one")).count(KEEP_ALIVE) == 3


async def test_between_its_tokens_a_stream_rests_longer_and_speaks_before_a_proxy_cuts_it(
    monkeypatch: pytest.MonkeyPatch,
):
    async with accepted_stream(monkeypatch) as stream:
        stream.say(Piece((TextDelta("one"),)))
        await stream.lines_until(b"one")
        await stream.pass_s(2.0)
        stream.say(Piece((TextDelta("two"),)))
        assert KEEP_ALIVE not in await stream.lines_until(b"two")
        await stream.pass_s(LONGEST_SILENCE_S)
        stream.say(Piece((TextDelta("three"),)))
        assert KEEP_ALIVE in await stream.lines_until(b"three")
