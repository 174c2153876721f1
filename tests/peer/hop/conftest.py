"""Hosts on port 0 of this machine, with the fake engine, and the pool that asks them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cortex.engine.errors import Overloaded
from cortex.engine.stream import Event, Resume, Vector
from cortex.engine.types import ChatRequest, TextPart
from cortex.engine.types import Message as Turn
from cortex.peer.children.process import Spawn
from cortex.peer.config import PeerConfig
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.hop.dialling import Dialler
from cortex.peer.hop.frames import pack, unpack
from cortex.peer.hop.host import HOP_PATH, HopHost
from cortex.peer.hop.messages import Beat, LeaseAsk, Leased, Message
from cortex.peer.hop.pool import HopPool
from cortex.peer.models.shelf import Shelf
from cortex.peer.node import Node
from cortex.peer.orders.values import (
    Done,
    DrainOrder,
    Job,
    JobList,
    ListJobs,
    Order,
    Report,
    WatchJob,
)
from cortex.peer.types import ModelInfo

HOST = NodeId(b"the-host")
MODEL = ModelId(b"weights.")
TICK_S = 0.05
DEADLINE_S = 30


class KnownShelf(Shelf):
    """One whose models' weights have been looked at."""

    async def find(self, name: str) -> ModelInfo:
        return replace(await super().find(name), weights=MODEL)


class KnownNode(Node):
    def __init__(self, config: PeerConfig, spawn: Spawn) -> None:
        super().__init__(config, spawn)
        self.shelf = KnownShelf(lambda: self.config)


async def grant(wish: LeaseAsk) -> Leased:
    return Leased(wish.request_id, wish.candidates[0])


async def carry_out(order: Order) -> AsyncGenerator[Report]:
    """Jobs of two steps, one second each, and beside them one of a kind that only newer peers know;
    anything else is done at once.
    """
    if isinstance(order, WatchJob):
        yield Job(order.job_id, HOST, "load", "running", seconds=1.0)
        yield Job(order.job_id, HOST, "load", "done", seconds=2.0)
    elif isinstance(order, ListJobs):
        yield JobList((Job("job_2", HOST, "from the future", "running"),))
    elif isinstance(order, DrainOrder):
        raise Overloaded("no more jobs", "wait")
    else:
        yield Done()


@dataclass(slots=True)
class Fleet:
    """One asker and its hosts, by node. `lost` are those that it was told to doubt."""

    hops: HopPool
    addresses: dict[NodeId, list[Address]] = field(default_factory=dict[NodeId, list[Address]])
    lost: list[NodeId] = field(default_factory=list[NodeId])

    def ask(
        self, request: ChatRequest, resume: Resume | None = None, host: NodeId = HOST
    ) -> AsyncGenerator[Event | Vector]:
        return self.hops.ask(host, MODEL, request, resume)


@dataclass(slots=True)
class Host:
    node: Node
    hop: HopHost
    runner: web.AppRunner


async def until(is_so: Callable[[], bool]) -> None:
    """Let others run until something is so; the test's own time limit is the bound."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Hops:
    """What tests are made of."""

    until = staticmethod(until)

    node, model, tick_s = HOST, MODEL, TICK_S

    @asynccontextmanager
    async def fleet(self, tick_s: float = TICK_S, idle_ticks: int = 600) -> AsyncGenerator[Fleet]:
        addresses: dict[NodeId, list[Address]] = {}
        lost: list[NodeId] = []
        dialler = Dialler(
            lambda node: addresses.get(node, []), lambda: None, lambda node: f"{node.hex()}.test"
        )
        async with (
            asyncio.timeout(DEADLINE_S),
            HopPool(dialler, lost.append, tick_s, idle_ticks) as hops,
        ):
            yield Fleet(hops, addresses, lost)

    @asynccontextmanager
    async def host(
        self,
        fleet: Fleet,
        config: PeerConfig,
        spawn: Spawn,
        node: NodeId = HOST,
        tick_s: float = TICK_S,
        context: ssl.SSLContext | None = None,
    ) -> AsyncGenerator[Host]:
        async with KnownNode(config, spawn) as inside:
            hop = HopHost("borea", inside, grant, carry_out, tick_s)
            async with self.serving(hop.routes(), context) as (runner, address):
                fleet.addresses[node] = [address]
                yield Host(inside, hop, runner)

    @asynccontextmanager
    async def serving(
        self, routes: Sequence[web.RouteDef], context: ssl.SSLContext | None = None
    ) -> AsyncGenerator[tuple[web.AppRunner, Address]]:
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        async with AsyncExitStack() as stack:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            yield runner, Address(*runner.addresses[0][:2])

    @asynccontextmanager
    async def guest(self, fleet: Fleet) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
        """A bare connection to the host, which says only what the test does."""
        [address] = fleet.addresses[HOST]
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{address.ip}:{address.port}{HOP_PATH}") as socket,
        ):
            yield socket

    async def heard(self, socket: aiohttp.ClientWebSocketResponse) -> Message:
        """The next thing that is no beat."""
        while isinstance(message := unpack(await socket.receive_bytes()), Beat):
            pass
        assert message is not None
        return message

    async def told(self, fleet: Fleet, message: Message) -> Message:
        """What the host answers first to a message."""
        async with self.guest(fleet) as socket:
            await socket.send_bytes(pack(message))
            return await self.heard(socket)

    def request(self, text: str = "hello", **changes: Any) -> ChatRequest:
        fields: dict[str, Any] = {"seed": 1, "now_s": 0, "max_tokens": 16} | changes
        return ChatRequest("fake", (Turn("user", (TextPart(text),)),), **fields)


@pytest.fixture
def hops() -> Hops:
    return Hops()
