"""What the router asks of this peer's own engine: `Node` has all of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from cortex.engine.types import ChatRequest, Event, Resume, Vector

from ..config import PeerConfig
from ..observing.chronicle import Chronicle
from ..observing.health import NodeHealth
from ..observing.live import LiveRequest
from ..observing.tally import PeerTally
from ..types import ModelInfo


class LocalHost(Protocol):
    @property
    def config(self) -> PeerConfig: ...

    @property
    def tally(self) -> PeerTally: ...

    @property
    def chronicle(self) -> Chronicle: ...

    @property
    def stored(self) -> tuple[ModelInfo, ...]: ...

    @property
    def health(self) -> NodeHealth: ...

    async def models(self) -> tuple[ModelInfo, ...]: ...

    def serve(
        self,
        request: ChatRequest,
        live: LiveRequest | None = None,
        resume: Resume | None = None,
        num_losses: int = 0,
    ) -> AsyncGenerator[Event | Vector]: ...

    async def count(self, request: ChatRequest, live: LiveRequest | None = None) -> int: ...
