"""Who answers a command: the peer it names, a running peer of this machine, or a node of its own.

What a person typed about the engine is obeyed: no running peer would, so none is asked then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from cortex.engine.types import ChatRequest, Event
from cortex.peer.announcement import read_announcements
from cortex.peer.client import Backend, open_backend
from cortex.peer.config import PeerConfig
from cortex.peer.node import Node
from cortex.peer.types import ModelInfo

from .diagnostics import Diagnostics

# What a backend is called that is this process itself.
PRIVATE = "private"


def choose_backend(
    config: PeerConfig,
    peer: str | None,
    typed_for_own_node: Sequence[str],
    diagnostics: Diagnostics,
) -> AbstractAsyncContextManager[Backend]:
    """The backend to enter; where a running peer is passed over, that is said.

    Entering it raises NoPeer where a named peer does not answer.
    """
    if peer is not None or not typed_for_own_node:
        return open_backend(config, peer, on_notice=diagnostics.notice)
    if read_announcements(config.locations.announcements_dir):
        options = " and ".join(typed_for_own_node)
        diagnostics.line(f"computing here because of {options}; the running peer is not asked.")
    return _own_node(config)


@asynccontextmanager
async def _own_node(config: PeerConfig) -> AsyncGenerator[Backend]:
    async with Node(config) as node:
        yield _OwnNode(node)


@dataclass(frozen=True, slots=True)
class _OwnNode:
    """A Backend that nobody else sees."""

    node: Node
    name: str = PRIVATE

    async def models(self) -> tuple[ModelInfo, ...]:
        return await self.node.models()

    def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        return self.node.chat(request)
