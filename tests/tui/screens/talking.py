"""Whom the dashboard's conversation asks, and how a test writes to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from textual.pilot import Pilot

from cortex.engine.errors import CortexError
from cortex.engine.stream import Accepted, Event, Finished, Piece, TextDelta, Usage
from cortex.engine.types import ChatRequest
from cortex.peer.types import ModelInfo
from cortex.tui.widgets.message import MessageField

SEES = ModelInfo("qwen3.6-27b", None, ("text", "vision"), 262_144, 0)
BLIND = ModelInfo("tiny-1b", None, ("text",), 8_192, 0)
BASE = ModelInfo("base-1b", None, ("completion",), 8_192, 0)


def said(text: str) -> Piece:
    return Piece((TextDelta(text),))


class FakePeer:
    """Answers are the test's, piece by piece: it waits until the test has given the next."""

    name = answered_by = "127.0.0.1:13131"

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []
        self.is_stopped = False
        self.on_moved: Callable[[str], None] = lambda _: None
        self.listed: tuple[ModelInfo, ...] = (SEES, BLIND)
        self._events: asyncio.Queue[Event | CortexError | None] = asyncio.Queue()

    def give(self, *events: Event | CortexError | None) -> None:
        """None is the end."""
        for event in events:
            self._events.put_nowait(event)

    async def models(self) -> tuple[ModelInfo, ...]:
        return self.listed

    async def picture_tokens(self, model: str, picture: bytes) -> int:
        return 64

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        self.asked.append(request)
        try:
            while (event := await self._events.get()) is not None:
                if isinstance(event, CortexError):
                    raise event
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.is_stopped = True
            raise


Chat = Callable[..., Any]


async def write(pilot: Pilot[None], text: str) -> None:
    field = pilot.app.screen.query_one(MessageField)
    field.focus()
    field.insert(text)
    await pilot.press("enter")


WHOLE = (
    Accepted(90, (), 100),
    said("It is **12.40**."),
    Finished("stop", Usage(90, 5, 64)),
    None,
)
