"""The place that is kept for who has a key, where others may ask too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from cortex.engine.fake import FakeConfig
from cortex.peer.api.app import make_app
from cortex.peer.config import PeerConfig
from cortex.peer.fleet.view import DeviceView, FleetView, PeerView, PlacedModel
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.node import Node
from tests.peer.in_memory import node_of_none

MakeConfig = Callable[..., PeerConfig]
SELF, HOST = NodeId(b"self...."), NodeId(b"host....")
DEVICES = (DeviceView("cuda:0", 1 << 30),)


def fleet_of_one_host(num_slots: int) -> FleetView:
    placed = PlacedModel(ModelId(b"weights1"), "fake", "ready", 1, 4096, num_slots=num_slots)
    me = PeerView(SELF, 1, "door", "up", is_self=True)
    host = PeerView(HOST, 1, "host", "up", is_self=False, devices=DEVICES, placed=(placed,))
    return FleetView("f", SELF, peers=(me, host))


async def test_a_gateway_keeps_the_last_place_of_its_fleet_for_who_has_a_key(
    make_config: MakeConfig, memory_children: Any
):
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    keys = (ApiKey("asker", digest_of("ask")),)
    door = Node(make_config(engine="none", keys=keys, lets_anonymous_in=True))
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(Node(make_config(), spawn=children.spawn))
        member: Any = SimpleNamespace(
            fleet=SimpleNamespace(view=fleet_of_one_host(num_slots=3)),
            ingress=host,
            control=None,
            node_of=node_of_none,
            routes=list,
        )
        app = make_app(await stack.enter_async_context(door), member)
        client = await stack.enter_async_context(TestClient(TestServer(app)))

        async def ask(**headers: str) -> ClientResponse:
            """An answer that goes on until its client has left."""
            body = {"model": "fake", "prompt": "hello", "max_tokens": 10_000, "stream": True}
            body |= {"ignore_eos": True}
            reply = await client.post("/v1/completions", json=body, headers=headers)
            stack.callback(reply.close)
            return reply

        assert [(await ask()).status for _ in range(3)] == [200, 200, 429]
        assert (await ask(**{"x-api-key": "ask"})).status == 200
