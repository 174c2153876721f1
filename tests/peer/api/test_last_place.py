"""The place that is kept for who has a key, where others may ask too."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from cortex.engine.fake import FakeConfig
from cortex.peer.api.app import make_app
from cortex.peer.config import PeerConfig
from cortex.peer.fleet.view import FleetView, PeerView, PlacedModel, PlacementState
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.node import Node
from tests.peer.in_memory import node_of_none

MakeConfig = Callable[..., PeerConfig]
SELF, HOST = NodeId(b"self...."), NodeId(b"host....")


def fleet_of_one_host(state: PlacementState, num_slots: int) -> FleetView:
    placed = PlacedModel(ModelId(b"weights1"), "fake", state, 1, 4096, num_slots=num_slots)
    me = PeerView(SELF, 1, "door", "up", is_self=True)
    host = PeerView(HOST, 1, "host", "up", is_self=False, placed=(placed,))
    return FleetView("f", SELF, peers=(me, host))


@asynccontextmanager
async def asking(
    make_config: MakeConfig, memory_children: Any, view: FleetView
) -> AsyncGenerator[Callable[..., Awaitable[int]]]:
    """A gateway with one host, seen like this, is asked for an answer that goes on until the block
    ends: with which status it begins.
    """
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    keys = (ApiKey("asker", digest_of("ask")),)
    door = Node(make_config(engine="none", keys=keys, lets_anonymous_in=True))
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(Node(make_config(), spawn=children.spawn))
        member: Any = SimpleNamespace(
            fleet=SimpleNamespace(view=view),
            ingress=SimpleNamespace(chat=host.serve),
            control=None,
            node_of=node_of_none,
            routes=list,
        )
        app = make_app(await stack.enter_async_context(door), member)
        client = await stack.enter_async_context(TestClient(TestServer(app)))

        async def status(**headers: str) -> int:
            body = {"model": "fake", "prompt": "hello", "max_tokens": 10_000, "stream": True}
            body |= {"ignore_eos": True}
            reply = await client.post("/v1/completions", json=body, headers=headers)
            stack.callback(reply.close)
            return reply.status

        yield status


async def test_a_gateway_keeps_the_last_place_of_its_fleet_for_who_has_a_key(
    make_config: MakeConfig, memory_children: Any
):
    view = fleet_of_one_host("ready", num_slots=3)
    async with asking(make_config, memory_children, view) as ask:
        assert [await ask() for _ in range(3)] == [200, 200, 429]
        assert await ask(**{"x-api-key": "ask"}) == 200


async def test_a_gateway_keeps_nobody_out_while_its_fleet_loads(
    make_config: MakeConfig, memory_children: Any
):
    view = fleet_of_one_host("loading", num_slots=0)
    async with asking(make_config, memory_children, view) as ask:
        assert [await ask() for _ in range(3)] == [200, 200, 200]
