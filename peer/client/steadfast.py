"""Answers that outlive the peer they come through: the next one goes on where it broke off.

A peer that loses its engine, or another peer, mends that itself; this is for the one that is asked.
What has come of the answer is sent along as its beginning, which the model then continues; where
only thoughts had come they are made anew. White space at its end is cut by who continues it, and
written again: that is shown once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import aiohttp
import msgspec

from cortex.engine.errors import CortexError
from cortex.engine.stream import (
    Accepted,
    Delta,
    Event,
    Finished,
    Piece,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from cortex.engine.types import ChatRequest, Message, TextPart

from ..errors import AnswerBrokeOff, NoPeer
from ..onlooker.asking import Door
from ..types import ModelInfo
from .remote import RemotePeer

_ATTEMPTS = 6
# So long a fleet may need to notice that one of it is gone.
_PAUSE_S = 1.0
_GONE = (NoPeer, AnswerBrokeOff)

T = TypeVar("T")
Doors = Callable[[], Awaitable[Sequence[Door]]]


class Asked(Protocol):
    """A peer, as far as a conversation needs it. `answered_by` is who makes the answer for it: its
    address, until one has told its name.
    """

    @property
    def name(self) -> str: ...

    @property
    def answered_by(self) -> str: ...

    async def models(self) -> tuple[ModelInfo, ...]: ...

    def chat(self, request: ChatRequest) -> AsyncGenerator[Event]: ...

    async def picture_tokens(self, model: str, picture: bytes) -> int: ...


class Steadfast:
    """A Backend. `doors` says whom to ask now, the best first; `on_moved` hears, in words, of each
    move to another; `look_around` is called with the door of a peer while that one answers.
    """

    def __init__(
        self,
        doors: Doors,
        peer_at: Callable[[Door], Asked],
        on_moved: Callable[[str], None],
        look_around: Callable[[Door], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        name: str = "",
    ) -> None:
        self.name = self.answered_by = name
        self._look_around = look_around
        self._doors = doors
        self._peer_at = peer_at
        self._on_moved = on_moved
        self._sleep = sleep

    async def models(self) -> tuple[ModelInfo, ...]:
        return await self._first(lambda peer: peer.models())

    async def picture_tokens(self, model: str, picture: bytes) -> int:
        """What a picture adds to a prompt. No engine is asked for that."""
        return await self._first(lambda peer: peer.picture_tokens(model, picture))

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        """Raises what a peer refuses with; NoPeer or AnswerBrokeOff where nobody goes on."""
        so_far = _SoFar()
        trying = _Trying(self._doors, self._sleep)
        left = ""
        while (door := await trying.next()) is not None:
            peer = self._peer_at(door)
            self.name = peer.name
            if left:
                self._on_moved(_moved(left, peer.name))
            try:
                async with aclosing(peer.chat(so_far.rest_of(request))) as events:
                    async for event in events:
                        if left != peer.name and self._look_around is not None:
                            await self._look_around(door)
                        left, self.answered_by = peer.name, peer.answered_by
                        yield so_far.take(event)
                return
            except _GONE as error:
                trying.failed(door, error)
                left = peer.name
        raise trying.error

    async def _first(self, work: Callable[[Asked], Awaitable[T]]) -> T:
        trying = _Trying(self._doors, self._sleep)
        while (door := await trying.next()) is not None:
            peer = self._peer_at(door)
            try:
                answer = await work(peer)
            except _GONE as error:
                trying.failed(door, error)
            else:
                self.name = peer.name
                return answer
        raise trying.error


def _moved(left: str, now: str) -> str:
    return f"{left} {'is asked again' if left == now else f'is gone; {now} goes on'}"


class _Trying:
    """Whom to try next: who has not failed, else all again after a rest, and not for ever."""

    def __init__(self, doors: Doors, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.error: CortexError = NoPeer("no peer answers", "start one with: cortex peer")
        self._doors = doors
        self._sleep = sleep
        self._failed: set[str] = set()
        self._left = _ATTEMPTS

    async def next(self) -> Door | None:
        while self._left:
            self._left -= 1
            found = [d for d in await self._doors() if d.address not in self._failed]
            if found:
                return found[0]
            self._failed.clear()
            await self._sleep(_PAUSE_S)
        return None

    def failed(self, door: Door, error: CortexError) -> None:
        self._failed.add(door.address)
        self.error = error


@dataclass(slots=True)
class _SoFar:
    """What has come of an answer, and what its prompt was before anything had.

    `space` is what has been shown of white space that the peer now asked may write again.
    """

    texts: list[str] = field(default_factory=list[str])
    thoughts: list[str] = field(default_factory=list[str])
    first: Accepted | None = None
    last: Accepted | None = None
    space: str = ""

    def rest_of(self, request: ChatRequest) -> ChatRequest:
        text = "".join(self.texts)
        self.space = text[len(text.rstrip()) :]
        if not text:
            self.thoughts.clear()
            return request
        begun = Message("assistant", (TextPart(text),), reasoning="".join(self.thoughts))
        return msgspec.structs.replace(request, messages=(*request.messages, begun))

    def take(self, event: Event) -> Event:
        match event:
            case Accepted():
                self.first, self.last = self.first or event, event
            case Piece():
                event = msgspec.structs.replace(event, deltas=tuple(self._unsaid(event.deltas)))
                self.texts += [d.text for d in event.deltas if isinstance(d, TextDelta)]
                self.thoughts += [d.text for d in event.deltas if isinstance(d, ReasoningDelta)]
            case Finished() if self.first is not None and self.last is not self.first:
                return msgspec.structs.replace(event, usage=self._whole(event.usage))
            case _:
                pass
        return event

    def _unsaid(self, deltas: Iterable[Delta]) -> Iterator[Delta]:
        """Only what is the same is left out: behind a shown break an indentation is new."""
        for delta in deltas:
            if not self.space or not isinstance(delta, TextDelta):
                yield delta
                continue
            rest = delta.text
            while self.space and rest[:1] == self.space[0]:
                self.space, rest = self.space[1:], rest[1:]
            if rest:
                self.space = ""
                yield TextDelta(rest)

    def _whole(self, rest: Usage) -> Usage:
        """What the last prompt had more than the first was answer already."""
        assert self.first is not None
        told = max(rest.prompt_tokens - self.first.prompt_tokens, 0)
        return msgspec.structs.replace(
            rest,
            prompt_tokens=self.first.prompt_tokens,
            completion_tokens=rest.completion_tokens + told,
            cached_tokens=min(rest.cached_tokens, self.first.prompt_tokens),
        )


def remotes(session: aiohttp.ClientSession) -> Callable[[Door], Asked]:
    return lambda door: RemotePeer(session, door.address, api_key=door.key)


@asynccontextmanager
async def open_steadfast(
    doors: Doors, on_moved: Callable[[str], None]
) -> AsyncGenerator[Steadfast]:
    async with aiohttp.ClientSession() as session:
        yield Steadfast(doors, remotes(session), on_moved)
