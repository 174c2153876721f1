"""A priority that a client sends arrives at the engine, and at the next one where that dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from cortex.peer.api.app import make_app
from cortex.peer.config import PeerConfig
from cortex.peer.fleet.alone import NOBODY
from cortex.peer.jobs import Jobs
from cortex.peer.node import Node
from cortex.peer.orders.control import control_alone

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/completions", {"prompt": "hello"}),
        ("/v1/embeddings", {"input": "hello"}),
    ],
)
async def test_every_attempt_at_a_request_has_its_priority(
    make_config: MakeConfig, memory_children: Children, path: str, question: dict[str, Any]
):
    # The first engine dies of its first word about the request.
    children = memory_children([4])
    body = {"model": "fake", "priority": -7, "max_tokens": 12} | question
    async with (
        Node(make_config(), children.spawn) as node,
        TestClient(TestServer(make_app(node, control_alone(node, Jobs(NOBODY))))) as client,
    ):
        reply = await client.post(path, json=body)
        assert reply.status == 200
    assert [generate.priority for generate in children.generates] == [-7, -7]
