"""A priority that a client sends arrives at the engine, and at the next one where that dies; where
there are keys, those who have none wait behind whoever has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from cortex.peer.config import PeerConfig
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.serving.server import serving

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other


every_path = pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/completions", {"prompt": "hello"}),
        ("/v1/embeddings", {"input": "hello"}),
    ],
)


@every_path
async def test_every_attempt_at_a_request_has_its_priority(
    make_config: MakeConfig, memory_children: Children, path: str, question: dict[str, Any]
):
    # The first engine dies of its first word about the request.
    children = memory_children([4])
    body = {"model": "fake", "priority": -7, "max_tokens": 12} | question
    async with (
        serving(make_config(), children.spawn) as server,
        ClientSession(f"http://{server.address}") as client,
    ):
        reply = await client.post(path, json=body)
        assert reply.status == 200
    assert [wanted.priority for wanted in children.wanted] == [-7, -7]


@every_path
async def test_whoever_has_no_key_goes_behind_those_who_have_one_whatever_it_asks_for(
    make_config: MakeConfig, memory_children: Children, path: str, question: dict[str, Any]
):
    children = memory_children()
    config = make_config(keys=(ApiKey("asker", digest_of("ask")),), lets_anonymous_in=True)
    asked: list[tuple[int, dict[str, str]]] = [
        (-7, {}),
        (12, {}),
        (-7, {"x-api-key": "ask"}),
        (-7, {"x-api-key": "unknown"}),
    ]
    async with (
        serving(config, children.spawn) as server,
        ClientSession(f"http://{server.address}") as client,
    ):
        for priority, headers in asked:
            body = {"model": "fake", "priority": priority, "max_tokens": 12} | question
            async with client.post(path, json=body, headers=headers) as reply:
                assert reply.status == 200
    assert [wanted.priority for wanted in children.wanted] == [10, 12, -7, 10]
