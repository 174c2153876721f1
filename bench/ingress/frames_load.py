"""The backend asked in frames, without a peer: what its two round trips take by themselves.

A prompt is asked for and then its answer, as a peer does for every request. It is the part of an
answer's latency that no ingress of this design can do without.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TypeVar

from cortex.engine.frames import pack_message
from cortex.engine.messages import Generate, Load, Loaded, Message, Prepare, Prepared, Step, Wanted
from cortex.engine.types import ChatRequest, TextPart
from cortex.engine.types import Message as Turn
from cortex.peer.children.link import FrameLink

from . import canned

_CONTEXT_TOKENS = 4096

M = TypeVar("M", bound=Message)


class FramesClient:
    """A peer's two links, one request at a time."""

    def __init__(self, text: FrameLink, engine: FrameLink) -> None:
        self._text = text
        self._engine = engine
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self._numbers = itertools.count()
        for link in (text, engine):
            link.listen(self._heard.put_nowait)

    async def load(self) -> None:
        self._engine.send(pack_message(Load("job", canned.MODEL, "")))
        await self._next(Loaded)

    async def ask(self) -> float:
        """Seconds from the request to its answer."""
        request_id = str(next(self._numbers))
        wish = canned.AT_ONCE
        turn = Turn("user", (TextPart("What does the receipt say, and when was it printed?"),))
        request = ChatRequest(
            canned.MODEL, (turn,), seed=wish.num_groups, now_s=0, max_tokens=wish.num_events
        )
        began_s = time.monotonic()
        self._text.send(pack_message(Prepare(request_id, "", request, _CONTEXT_TOKENS)))
        prepared = await self._next(Prepared)
        generate = Generate(canned.MODEL, (Wanted(request_id, 1),), prepared.prompt)
        self._engine.send(pack_message(generate))
        await self._next(Step)
        return time.monotonic() - began_s

    async def close(self) -> None:
        for link in (self._text, self._engine):
            link.close()
            await link.ended

    async def _next(self, kind: type[M]) -> M:
        while not isinstance(message := await self._heard.get(), kind):
            pass  # heartbeats, and how far it is
        return message


async def connect(text_socket: str, engine_socket: str) -> FramesClient:
    loop = asyncio.get_running_loop()
    _, text = await loop.create_unix_connection(FrameLink, text_socket)
    _, engine = await loop.create_unix_connection(FrameLink, engine_socket)
    return FramesClient(text, engine)
