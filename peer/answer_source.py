"""What the API asks of whoever makes the answers: this peer alone, or the fleet through it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cortex.engine.stream import Event, Vector
from cortex.engine.types import ChatRequest

from .observing.live import LiveRequest
from .types import ModelInfo


class AnswerSource(Protocol):
    """Each is `Node`'s method of that name; over a fleet they speak of all its peers."""

    async def models(self) -> tuple[ModelInfo, ...]: ...

    async def model(self, name: str) -> ModelInfo: ...

    def chat(
        self, request: ChatRequest, live: LiveRequest | None = None
    ) -> AsyncGenerator[Event]: ...

    async def count(self, request: ChatRequest, live: LiveRequest | None = None) -> int: ...

    def vectors(
        self, requests: Sequence[ChatRequest], live: LiveRequest | None = None
    ) -> AbstractAsyncContextManager[list[Vector]]: ...

    def suggestion(self) -> str | None: ...
