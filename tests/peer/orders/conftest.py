"""Two peers in one process: real nodes and hops on port 0, a fleet and a steering made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from cortex.engine.errors import CortexError, ModelNotFound
from cortex.engine.stream import Stage
from cortex.peer.api.app import make_app
from cortex.peer.children.process import Spawn
from cortex.peer.config import HubConfig, Locations, PeerConfig
from cortex.peer.fleet.membership import GossipCounters
from cortex.peer.fleet.view import FleetView, PeerView, PlacedModel, StoredModel
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.hop.dialling import Dialler
from cortex.peer.hop.host import HopHost
from cortex.peer.hop.messages import LeaseAsk, Leased
from cortex.peer.hop.pool import HopPool
from cortex.peer.jobs import Jobs
from cortex.peer.node import Node
from cortex.peer.observing.log_ring import LogRing
from cortex.peer.orders.control import Control
from cortex.peer.orders.desk import OrderDesk
from cortex.peer.orders.teller import Teller
from cortex.peer.orders.values import Done, Order, Report
from cortex.peer.placement.books import Resident, Size
from cortex.peer.placement.plan import LoadWish, Plan, Planned, Refusal
from cortex.peer.routing.offers import Offers
from cortex.peer.types import ModelInfo
from tests.peer.in_memory import node_of_none

A, B = NodeId(b"a" * 8), NodeId(b"b" * 8)
WEIGHTS = ModelId(b"weights.")
GIB = 1 << 30
STORED = StoredModel(WEIGHTS, "fake", 2 * GIB, 4096, ("text",), 7)
VICTIM = Resident(ModelId(b"victim.."), "guest", "ready", GIB)
DEADLINE_S = 30


class FakeSteering:
    """Loads when the test lets it; remembers what was asked of it."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.wishes: list[LoadWish] = []
        self.kept: list[LoadWish] = []
        self.calls: list[tuple[str, str]] = []
        self.wished = asyncio.Event()
        self.goes = asyncio.Event()
        self.goes.set()
        self.error: CortexError | None = None
        self.refusals: tuple[Refusal, ...] = ()
        self.num_abandoned = 0
        self.abandoned = asyncio.Event()

    def plan(self, wish: LoadWish) -> Planned:
        return Planned(None if self.refusals else self._plan(wish), self.refusals)

    def keep(self, wish: LoadWish) -> None:
        self.kept.append(wish)

    async def load(self, wish: LoadWish, on_stage: Callable[[Stage], None]) -> Plan:
        self.wishes.append(wish)
        self.wished.set()
        on_stage(Stage("loading", 1, 4, "bytes", 3.0))
        try:
            await self.goes.wait()
        except asyncio.CancelledError:
            self.num_abandoned += 1
            self.abandoned.set()
            raise
        if self.error is not None:
            raise self.error
        return self._plan(wish)

    async def unload(self, model_id: str, *, is_forced: bool = False) -> None:
        self.calls.append(("force" if is_forced else "unload", model_id))
        await self.goes.wait()

    def pin(self, model_id: str, *, is_pinned: bool) -> None:
        if model_id != "fake":
            raise ModelNotFound(f"no {model_id}")
        self.calls.append(("pin" if is_pinned else "unpin", model_id))

    def _plan(self, wish: LoadWish) -> Plan:
        size = Size(wish.context_tokens or 4096, wish.num_slots or 8, 3 * GIB)
        return Plan(self.node, 1, wish.model, size, victims=(VICTIM,), seconds=2.0)


class WeighedNode(Node):
    """A node whose model's weights have been looked at."""

    @property
    def stored(self) -> tuple[ModelInfo, ...]:
        return tuple(replace(model, weights=WEIGHTS) for model in super().stored)


class FakeMembership:
    """A fleet that is as the test says."""

    def __init__(self, view: FleetView) -> None:
        self.view = view
        self.counters = GossipCounters()

    def watch(self, on_view: Callable[[FleetView], None]) -> Callable[[], None]:
        return lambda: None

    def change(self, node: NodeId, /, **fields: Any) -> None:
        peers = tuple(
            replace(peer, **fields) if peer.node == node else peer for peer in self.view.peers
        )
        self.view = replace(self.view, peers=peers)


@dataclass(slots=True)
class Pair:
    """`client` asks atlas, which is A; borea is B. `runner` serves borea's hop."""

    client: TestClient[Any, Any]
    atlas: FakeSteering
    borea: FakeSteering
    nodes: dict[NodeId, Node]
    membership: FakeMembership
    runner: web.AppRunner
    logs: dict[NodeId, LogRing]
    lost: list[NodeId] = field(default_factory=list[NodeId])

    def place(self, node: NodeId, model_id: str = "fake", **fields: Any) -> None:
        """The fleet is told that a peer has the model in its engine."""
        placed = PlacedModel(WEIGHTS, model_id, "ready", 2 * GIB, 4096, **fields)
        self.membership.change(node, placed=(placed,))


async def _grant(wish: LeaseAsk) -> Leased:
    return Leased(wish.request_id, wish.candidates[0])


async def _silent(_: Order) -> AsyncGenerator[Report]:
    """As a peer that drops messages of a kind that it does not know."""
    await asyncio.Event().wait()
    yield Done()


async def no_round_trips() -> Mapping[NodeId, float]:
    return {}


def _peer(node: NodeId, name: str, *, is_self: bool) -> PeerView:
    return PeerView(node, 1, name, "up", is_self=is_self, build="cortex-0.1.0", stored=(STORED,))


@pytest.fixture
def pair(tmp_path: Any, memory_children: Any) -> Callable[..., Any]:
    """`async with pair() as both`; keywords are of atlas' config, and `hub` of both. An old borea
    knows no orders; `borea_says` is what it says to any.
    """

    @asynccontextmanager
    async def open_pair(
        *, is_old: bool = False, borea_says: Sequence[Report] = (), **changes: Any
    ) -> AsyncGenerator[Pair]:
        async def say(_: Order) -> AsyncGenerator[Report]:
            for report in borea_says:
                yield report

        spawn: Spawn = memory_children().spawn
        addresses: dict[NodeId, list[Address]] = {}
        view = FleetView(
            "f1ee7", A, 1, (_peer(A, "atlas", is_self=True), _peer(B, "borea", is_self=False))
        )
        membership = FakeMembership(view)
        dialler = Dialler(
            lambda node: addresses.get(node, []), lambda: None, lambda node: f"{node.hex()}.test"
        )
        clock = asyncio.get_running_loop().time
        async with asyncio.timeout(DEADLINE_S), AsyncExitStack() as stack:
            lost: list[NodeId] = []
            hops = await stack.enter_async_context(HopPool(dialler, lost.append))
            desks: dict[NodeId, OrderDesk] = {}
            steerings = {node: FakeSteering(node) for node in (A, B)}
            nodes: dict[NodeId, Node] = {}
            logs = {node: LogRing() for node in (A, B)}
            for node, fields in ((A, changes), (B, {"hub": changes.get("hub", HubConfig())})):
                folder = tmp_path / node.decode()
                places = Locations(folder / "data", folder / "state", folder / "run")
                settings: dict[str, Any] = {"engine": "fake", "port": 0, **fields}
                config = PeerConfig(places, **settings)
                nodes[node] = await stack.enter_async_context(WeighedNode(config, spawn))
                jobs = await stack.enter_async_context(
                    Jobs((lambda: membership.view.self_node) if node == A else (lambda: B), clock)
                )
                teller = Teller(nodes[node], logs[node], lambda: membership.view, no_round_trips)
                steering: Any = steerings[node]
                desks[node] = OrderDesk(nodes[node], steering, jobs, teller)
            obey = say if borea_says else desks[B].carry_out
            host = HopHost("borea", nodes[B], _grant, _silent if is_old else obey)
            app = web.Application()
            app.add_routes(host.routes())
            runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            addresses[B] = [Address("127.0.0.1", runner.addresses[0][1])]
            fleet: Any = membership
            offers = Offers(nodes[A], fleet, lambda model, size_bytes: None, clock)
            word_s = 0.2 if is_old else 5.0
            control = Control(nodes[A], desks[A], fleet, hops, offers.catalogue, word_s)
            member: Any = SimpleNamespace(
                fleet=membership,
                ingress=SimpleNamespace(chat=nodes[A].serve),
                control=control,
                node_of=node_of_none,
                routes=list,
            )
            server = TestServer(make_app(nodes[A], member))
            client = await stack.enter_async_context(TestClient(server))
            yield Pair(client, steerings[A], steerings[B], nodes, membership, runner, logs, lost)

    return open_pair
