"""The clients of a trial: each asks, reads its stream to the end, and asks again.

A client holds to one ingress as long as that answers. Where its ingress is harmed it asks another
one the same again; whether it was right to have to is judged from the history.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from ..live.process import PeerProcess
from .history import Answer, Attempt, End

# A stream says something every second; whoever says nothing for so long is given up.
SILENCE_S = 15.0
# Between an attempt that failed and the next.
PAUSE_S = 0.2


class Wishes(Protocol):
    """What is asked for: so many kinds of requests, each with its own answer."""

    @property
    def num_kinds(self) -> int: ...

    def body(self, kind: int) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """All of one model, and of one length."""

    model: str
    num_kinds: int
    max_tokens: int

    def body(self, kind: int) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": f"Tell me about number {kind}, please."}],
            "max_tokens": self.max_tokens,
            "seed": kind,
            "temperature": 0.0 if kind % 2 else 0.8,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


class Refused(Exception):
    """An answer with a status or an event that says why not."""


class Broken(Exception):
    """A stream that ended before its answer did."""


@dataclass
class _Reading:
    """One answer as it comes."""

    begun_s: float
    host: str = ""
    pieces: list[str] = field(default_factory=list[str])
    finish_reason: str = ""
    completion_tokens: int = -1
    first_s: float | None = None
    last_s: float = 0.0
    longest_gap_s: float = 0.0

    def take(self, event: dict[str, Any]) -> None:
        if "error" in event:
            raise Refused(json.dumps(event["error"])[:500])
        if usage := event.get("usage"):
            self.completion_tokens = usage["completion_tokens"]
        for choice in event["choices"]:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if text := choice["delta"].get("content"):
                self._take_text(text)

    def _take_text(self, text: str) -> None:
        now_s = time.monotonic()
        if self.first_s is None:
            self.first_s = now_s
        else:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self.last_s)
        self.last_s = now_s
        self.pieces.append(text)

    @property
    def answer(self) -> Answer:
        return Answer("".join(self.pieces), self.finish_reason, self.completion_tokens)


async def ask(
    session: aiohttp.ClientSession, peer: PeerProcess, body: dict[str, Any], reading: _Reading
) -> None:
    """Read one answer. Raises Refused, Broken, and what aiohttp raises."""
    async with session.post(
        f"http://{peer.host}:{peer.port}/v1/chat/completions", json=body
    ) as reply:
        if reply.status != 200:
            raise Refused(f"{reply.status} {(await reply.text())[:500]}")
        reading.host = reply.headers.get("x-cortex-peer", "")
        async for data in _events(reply.content):
            if data == b"[DONE]":
                return
            reading.take(json.loads(data))
    raise Broken("the stream ended without its last event")


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    async for line in content:
        if line.startswith(b"data: "):
            yield line[6:].strip()


@dataclass
class Clients:
    """`up` gives the peers that a client may try, `attempts` is what came of it."""

    wish: Wishes
    up: Callable[[], Sequence[PeerProcess]]
    zero_s: float
    rng: random.Random
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    _next_request: int = 0

    async def run(self, num_clients: int, is_over: Callable[[], bool]) -> None:
        """So many at once, none beginning anything new after the end."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(num_clients):
                group.create_task(self._live(session, is_over))
                await asyncio.sleep(0.005)

    async def twins(self, peer: PeerProcess) -> dict[int, Answer]:
        """What one peer answers that nobody disturbs."""
        found: dict[int, Answer] = {}
        timeout = aiohttp.ClientTimeout(total=120)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):

            async def make(kind: int) -> None:
                reading = _Reading(0.0)
                await ask(session, peer, self.wish.body(kind), reading)
                found[kind] = reading.answer

            for kind in range(self.wish.num_kinds):
                group.create_task(make(kind))
        return found

    async def _live(self, session: aiohttp.ClientSession, is_over: Callable[[], bool]) -> None:
        while not is_over():
            request, self._next_request = self._next_request, self._next_request + 1
            while not await self._attempt(session, request):
                pass

    async def _attempt(self, session: aiohttp.ClientSession, request: int) -> bool:
        """True where it was answered."""
        peer = self.rng.choice(self.up())
        reading = _Reading(time.monotonic())
        end: End = "answered"
        words = ""
        try:
            await ask(session, peer, self.wish.body(request % self.wish.num_kinds), reading)
        except Refused as error:
            end, words = "refused", str(error)
        except TimeoutError as error:
            end, words = "silent", repr(error)
        except (Broken, aiohttp.ClientError, OSError) as error:
            end, words = "broken", repr(error)
        self.attempts.append(self._told(request, peer, reading, end, words))
        if end != "answered":
            await asyncio.sleep(PAUSE_S)
        return end == "answered"

    def _told(
        self, request: int, peer: PeerProcess, reading: _Reading, end: End, words: str
    ) -> Attempt:
        return Attempt(
            request,
            peer.name,
            reading.begun_s - self.zero_s,
            time.monotonic() - self.zero_s,
            end,
            reading.answer if end == "answered" else None,
            reading.host,
            None if reading.first_s is None else reading.first_s - reading.begun_s,
            reading.longest_gap_s,
            words,
        )
