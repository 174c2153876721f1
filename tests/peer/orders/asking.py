"""A pair of peers, and how they are asked over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiohttp.test_utils import TestClient

from cortex.peer.gossip.ids import ModelId, NodeId

OpenPair = Callable[..., AbstractAsyncContextManager[Any]]
Client = TestClient[Any, Any]
A, B = NodeId(b"a" * 8), NodeId(b"b" * 8)
WEIGHTS = ModelId(b"weights.")
GIB = 1 << 30


async def post(client: Client, path: str, body: Any = None) -> tuple[int, Any]:
    async with client.post(path, json=body) as reply:
        return reply.status, await reply.json()


async def get(client: Client, path: str) -> tuple[int, Any]:
    async with client.get(path) as reply:
        return reply.status, await reply.json()
