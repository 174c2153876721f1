"""A fleet's leases in one process: views that lag and differ, arbiters that cannot be reached."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from msgspec.structs import replace

from cortex.engine.stream import Event, Resume, Vector
from cortex.engine.types import ChatRequest
from cortex.peer.errors import HostRefused
from cortex.peer.fleet.membership import GossipCounters, OwnState
from cortex.peer.fleet.view import (
    FleetView,
    PeerState,
    PeerView,
    PlacedModel,
    PlacementState,
    StoredModel,
)
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.messages import LoadAnswer
from cortex.peer.hop.messages import LeaseAsk, Leased
from cortex.peer.placement.planning import Known
from cortex.peer.routing.leases import Leases

MODEL = ModelId(b"model-id")
LOAD_S = 30.0
# No peer of these tells of its memory: nothing is weighed.


def _nothing(*_: object) -> tuple[()]:
    """No peer of these tests tells of its memory, and so nothing is weighed."""
    return ()


_KNOWN = Known(_nothing, _nothing)


def node_of(number: int) -> NodeId:
    return NodeId(number.to_bytes(8, "big"))


async def _no_pause() -> None:
    pass


@dataclass
class Fleet:
    """Peers that all have the model on disk. `now_s` is turned by hand.

    What begins to load is seen by others after `lag_s()`. An ingress in `blind_to` never sees
    that one peer as up. `loss` of all questions to arbiters are refused; `dead` ones always, and
    `silent` ones answer none.
    """

    num_peers: int
    rng: random.Random
    lag_s: Callable[[], float] = lambda: 0.0
    blind_to: dict[NodeId, NodeId] = field(default_factory=dict[NodeId, NodeId])
    loss: float = 0.0
    model: ModelId = MODEL
    pause: Callable[[], Awaitable[None]] = _no_pause
    dead: set[NodeId] = field(default_factory=set[NodeId])
    silent: set[NodeId] = field(default_factory=set[NodeId])
    now_s: float = 0.0
    num_questions: int = 0

    def __post_init__(self) -> None:
        self.nodes = [node_of(n + 1) for n in range(self.num_peers)]
        self.seen_dead_s: dict[NodeId, float] = {}
        self.loads_s: dict[NodeId, float] = {}
        self._seen_s: dict[tuple[NodeId, NodeId], float] = {}
        self.leases = {
            node: Leases(_Eyes(self, node), _Calls(self, node), lambda: _KNOWN, lambda: self.now_s)
            for node in self.nodes
        }

    def load(self, node: NodeId) -> None:
        """A request has come there: it begins to load, unless it is at it."""
        if node not in self.loads_s:
            self.loads_s[node] = self.now_s
            for observer in self.nodes:
                lag_s = 0.0 if observer == node else self.lag_s()
                self._seen_s[observer, node] = self.now_s + lag_s

    def kill(self, node: NodeId, seen_after_s: float) -> None:
        self.dead.add(node)
        self.seen_dead_s[node] = self.now_s + seen_after_s
        self.loads_s.pop(node, None)

    def view_of(self, observer: NodeId) -> FleetView:
        peers = tuple(self._seen(observer, node) for node in self.nodes)
        return FleetView("fleet", observer, peers=peers)

    def _seen(self, observer: NodeId, node: NodeId) -> PeerView:
        is_gone = self.seen_dead_s.get(node, self.now_s + 1) <= self.now_s
        is_gone = is_gone or self.blind_to.get(observer) == node
        began_s, placing = self.loads_s.get(node), ""
        if began_s is not None and self.now_s >= self._seen_s[observer, node]:
            placing = "ready" if self.now_s >= began_s + LOAD_S else "loading"
        return _peer(self.model, node, "dead" if is_gone else "up", observer == node, placing)

    async def ask(self, ingress: NodeId) -> NodeId:
        """A first request for the model comes to that ingress; the peer that it is sent to."""
        view = self.view_of(ingress)
        there = [peer.node for peer in view.peers if peer.state == "up" and peer.placed]
        lost: list[NodeId] = []
        while True:
            up = [peer.node for peer in view.peers if peer.state == "up" and peer.node not in lost]
            usable = [node for node in there if node not in lost]
            leases = self.leases[ingress]
            holder = usable[0] if usable else await leases.place(self.model, up, lost=lost)
            if holder not in self.dead:
                self.load(holder)
                return holder
            lost.append(holder)


@functools.cache
def _peer(
    model: ModelId,
    node: NodeId,
    state: PeerState,
    is_self: bool,
    placing: PlacementState | Literal[""],
) -> PeerView:
    stored = StoredModel(model, "m", 1 << 30, 4096, ("text",), 0)
    placed = (PlacedModel(model, "m", placing, 1 << 30, 4096),) if placing else ()
    return PeerView(node, 1, f"p{node[-1]}", state, is_self, stored=(stored,), placed=placed)


@dataclass
class _Eyes:
    """A Membership of the fleet."""

    fleet: Fleet
    node: NodeId
    counters: GossipCounters = field(default_factory=GossipCounters)

    @property
    def view(self) -> FleetView:
        return self.fleet.view_of(self.node)

    def watch(self, on_view: Callable[[FleetView], None]) -> Callable[[], None]:
        raise NotImplementedError

    def tell(self, state: OwnState) -> None:
        raise NotImplementedError

    async def ask_loads(
        self, nodes: Sequence[NodeId], model: ModelId, limit_s: float
    ) -> Mapping[NodeId, LoadAnswer]:
        raise NotImplementedError

    def doubt(self, node: NodeId) -> None:
        raise NotImplementedError


@dataclass
class _Calls:
    """Hops of one peer, to leases alone."""

    fleet: Fleet
    node: NodeId

    async def lease(self, arbiter: NodeId, wish: LeaseAsk) -> Leased:
        self.fleet.num_questions += 1
        if arbiter in self.fleet.dead or self.fleet.rng.random() < self.fleet.loss:
            raise HostRefused("no connection")
        if arbiter in self.fleet.silent:
            await asyncio.Event().wait()
        await self.fleet.pause()
        wish = replace(wish, request_id=f"{wish.request_id}.{self.fleet.num_questions}")
        leased = await self.fleet.leases[arbiter].answer(wish)
        assert leased.request_id == wish.request_id
        return leased

    async def count(self, host: NodeId, model: ModelId, request: ChatRequest) -> int:
        raise NotImplementedError

    def ask(
        self,
        host: NodeId,
        model: ModelId,
        request: ChatRequest,
        resume: Resume | None = None,
        num_losses: int = 0,
    ) -> AsyncGenerator[Event | Vector]:
        raise NotImplementedError


@pytest.fixture
def make_fleet() -> type[Fleet]:
    return Fleet
