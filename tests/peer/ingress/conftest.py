"""A fleet in one process: real nodes with children in memory, and hops that break when told to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from msgspec import structs

from cortex.engine.errors import CortexError, Overloaded
from cortex.engine.fake import FakeConfig
from cortex.engine.stream import Accepted, Event, Finished, Piece, Resume, Usage, Vector
from cortex.engine.types import ChatRequest, FinishReason, Message, TextPart, TokenLogprob
from cortex.peer.config import PeerConfig
from cortex.peer.deltas import melted
from cortex.peer.errors import HostLost, HostRefused
from cortex.peer.fleet.membership import GossipCounters, OwnState
from cortex.peer.fleet.view import FleetView, PeerState, PeerView, PlacedModel, StoredModel
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.messages import LoadAnswer
from cortex.peer.gossip.records import LoadRecord, ModelLoad
from cortex.peer.hop.messages import LeaseAsk, Leased
from cortex.peer.node import Node
from cortex.peer.observing.live import LiveRequest
from cortex.peer.routing.ingress import Ingress
from cortex.peer.types import ModelInfo

WEIGHTS = ModelId(b"weights1")


def node_id(number: int) -> NodeId:
    return NodeId(number.to_bytes(8, "big"))


def load_record(
    node: NodeId,
    *,
    num_live: int = 0,
    num_free: int = 8,
    model: ModelId = WEIGHTS,
    age_ds: int = 0,
) -> LoadRecord:
    models = (ModelLoad(model, num_live, 0, num_free),)
    return LoadRecord(node, 1, age_ds, 0, num_live, 0, 0, 0, 0, (), models)


def peer_view(
    number: int,
    *,
    is_self: bool = False,
    state: PeerState = "up",
    model_id: str = "fake",
    model: ModelId = WEIGHTS,
    warmth: str = "warm",
    computes_in: str = "hashes",
    context_tokens: int = 32_768,
    load: LoadRecord | None = None,
    gen: int = 1,
) -> PeerView:
    """A peer with one model on disk, and in its engine where it is warm."""
    node = node_id(number)
    placed: tuple[PlacedModel, ...] = ()
    if warmth == "warm":
        placed = (PlacedModel(model, model_id, "ready", 1, context_tokens, computes_in),)
    elif warmth == "loading":
        placed = (PlacedModel(model, model_id, "loading", 1, context_tokens, percent=10),)
    return PeerView(
        node,
        gen,
        f"peer{number}",
        state,
        is_self,
        stored=(StoredModel(model, model_id, 1000, context_tokens, ("text", "vision"), 1),),
        placed=placed,
        load=load or load_record(node),
    )


class FakeMembership:
    """A view that the test writes. Loads are told as the view has them, but by the `mute`."""

    def __init__(self, *peers: PeerView) -> None:
        self.mute: set[NodeId] = set()
        self.answers: dict[NodeId, LoadAnswer] = {}
        self.num_probes = 0
        self.counters = GossipCounters()
        self.show(*peers)

    def show(self, *peers: PeerView) -> None:
        me = next(peer for peer in peers if peer.is_self)
        self.view = FleetView("tag", me.node, peers=peers)

    def change(self, number: int, **changes: Any) -> None:
        node = node_id(number)
        peers = [replace(p, **changes) if p.node == node else p for p in self.view.peers]
        self.show(*peers)

    def watch(self, on_view: Callable[[FleetView], None]) -> Callable[[], None]:
        return lambda: None

    def tell(self, state: OwnState) -> None: ...

    def doubt(self, node: NodeId) -> None: ...

    async def ask_loads(
        self, nodes: Sequence[NodeId], model: ModelId, limit_s: float
    ) -> Mapping[NodeId, LoadAnswer]:
        self.num_probes += 1
        heard = {n: self._answer(n) for n in nodes if n not in self.mute}
        return {node: answer for node, answer in heard.items() if answer is not None}

    def _answer(self, node: NodeId) -> LoadAnswer | None:
        if node in self.answers:
            return self.answers[node]
        peer = self.view.peer(node)
        if peer is None or peer.load is None or peer.state == "dead":
            return None
        is_free = not peer.load.models or peer.load.models[0].num_slots_free > 0
        return LoadAnswer(
            node=node, gen=1, seq=1, load=peer.load, verdict="accept" if is_free else "queue"
        )


class FakePlaces:
    """The first candidate loads it, in so many `seconds`; `passed_over` were not to be named."""

    def __init__(self) -> None:
        self.asked: list[tuple[NodeId, ...]] = []
        self.passed_over: list[tuple[NodeId, ...]] = []
        self.seconds: float | None = None

    def in_order(self, model: ModelId, candidates: Collection[NodeId]) -> Sequence[NodeId]:
        return sorted(candidates)

    def load_s(self, model: ModelId, candidates: Collection[NodeId]) -> float | None:
        return self.seconds

    async def place(
        self,
        model: ModelId,
        candidates: Collection[NodeId],
        *,
        holders: Collection[NodeId] = (),
        lost: Collection[NodeId] = (),
    ) -> NodeId:
        self.asked.append(tuple(candidates))
        self.passed_over.append(tuple(holders))
        return next(iter(candidates))


class NamedNode(Node):
    """One whose models have a name for their weights; `told_losses` is how many engines had ended
    under each of its requests.
    """

    def serve(
        self,
        request: ChatRequest,
        live: LiveRequest | None = None,
        resume: Resume | None = None,
        num_losses: int = 0,
    ) -> AsyncGenerator[Event | Vector]:
        self.told_losses = (*getattr(self, "told_losses", ()), num_losses)
        return super().serve(request, live, resume, num_losses)

    @property
    def stored(self) -> tuple[ModelInfo, ...]:
        return tuple(replace(model, weights=WEIGHTS) for model in super().stored)


@dataclass
class FakeHops:
    """Over which the nodes are asked. Each attempt, in their order, dies after so many events of
    `deaths`; later ones live on. `engines` are those that each node has had.
    """

    nodes: dict[NodeId, Node] = field(default_factory=dict[NodeId, Node])
    deaths: list[int | None] = field(default_factory=list[int | None])
    error: Callable[[], CortexError] = lambda: HostLost("the peer is gone")
    refusing: set[NodeId] = field(default_factory=set[NodeId])
    full: set[NodeId] = field(default_factory=set[NodeId])
    asked: list[tuple[NodeId, Resume | None]] = field(
        default_factory=list[tuple[NodeId, Resume | None]]
    )
    requests: list[ChatRequest] = field(default_factory=list[ChatRequest])
    engines: dict[NodeId, list[Any]] = field(default_factory=dict[NodeId, list[Any]])
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    num_closed: int = 0
    on_death: Callable[[NodeId], None] = lambda node: None

    async def ask(
        self,
        host: NodeId,
        model: ModelId,
        request: ChatRequest,
        resume: Resume | None = None,
        num_losses: int = 0,
    ) -> AsyncGenerator[Event | Vector]:
        self.asked.append((host, resume))
        self.requests.append(request)
        self.was_asked.set()
        if host in self.refusing:
            raise HostRefused("no connection")
        if host in self.full:
            raise Overloaded("full")
        left = self.deaths.pop(0) if self.deaths else None
        try:
            async with aclosing(
                self.nodes[host].serve(request, None, resume, num_losses)
            ) as events:
                if left == 0:
                    self._die(host)
                async for event in events:
                    yield event
                    if left is not None:
                        left -= 1
                        if left == 0:
                            self._die(host)
        finally:
            self.num_closed += 1

    def _die(self, host: NodeId) -> None:
        self.on_death(host)
        raise self.error()

    async def count(self, host: NodeId, model: ModelId, request: ChatRequest) -> int:
        self.asked.append((host, None))
        if host in self.refusing:
            raise HostRefused("no connection")
        return await self.nodes[host].count(request)

    async def lease(self, arbiter: NodeId, wish: LeaseAsk) -> Leased:
        raise NotImplementedError


@dataclass
class SmallFleet:
    """This peer is number 0."""

    ingress: Ingress
    membership: FakeMembership
    hops: FakeHops
    places: FakePlaces
    local: Node


@pytest.fixture
def open_fleet(make_config: Callable[..., PeerConfig], memory_children: Any) -> Callable[..., Any]:
    """A fleet of `num_peers`; this peer has an engine too unless it is a gateway. A test with
    others in mind changes the view.
    """

    @asynccontextmanager
    async def open_it(
        num_peers: int,
        *,
        is_gateway: bool = True,
        fake: FakeConfig | None = None,
        lives: Sequence[int | str] = (),
        others_lives: Sequence[int | str] = (),
        eta_s: float | None = None,
        **changes: Any,
    ) -> AsyncGenerator[SmallFleet]:
        # So slow that hardly two tokens become one event.
        fake = replace(fake or FakeConfig(), token_interval_ms=1)
        async with AsyncExitStack() as stack:
            hops = FakeHops()
            for number in range(1, num_peers):
                children = memory_children(others_lives, fake=fake)
                hops.engines[node_id(number)] = children.engines
                node = NamedNode(make_config(**changes), spawn=children.spawn)
                hops.nodes[node_id(number)] = await stack.enter_async_context(node)
            children = memory_children(lives, fake=fake)
            engine = "none" if is_gateway else "fake"
            config = make_config(engine=engine, **changes)
            local = await stack.enter_async_context(NamedNode(config, spawn=children.spawn))
            me = peer_view(0, is_self=True)
            if is_gateway:
                me = replace(me, stored=(), placed=())
            membership = FakeMembership(me, *map(peer_view, range(1, num_peers)))
            places: Any = FakePlaces()
            ingress = Ingress(
                local,
                membership,
                hops,
                places,
                eta_s=lambda model, size_bytes: eta_s,
                rng=random.Random(1),
            )
            yield SmallFleet(ingress, membership, hops, places, local)

    return open_it


@dataclass
class Told:
    """What a client was told: each choice's pieces joined, and how it ended."""

    num_accepted: int = 0
    pieces: dict[int, Piece] = field(default_factory=dict[int, Piece])
    ends: dict[int, tuple[FinishReason, str | None, Usage]] = field(
        default_factory=dict[int, tuple[FinishReason, str | None, Usage]]
    )

    def add(self, event: Event) -> None:
        match event:
            case Accepted():
                self.num_accepted += 1
            case Piece():
                assert event.choice not in self.ends, "nothing comes after an end"
                before = self.pieces.get(event.choice, Piece((), choice=event.choice))
                logprobs: tuple[TokenLogprob, ...] = (*before.logprobs, *event.logprobs)
                self.pieces[event.choice] = Piece(
                    melted((*before.deltas, *event.deltas)),
                    (*before.token_ids, *event.token_ids),
                    logprobs,
                    event.choice,
                )
            case Finished():
                assert event.choice not in self.ends, "a choice ends once"
                usage = replace_cached(event.usage)
                self.ends[event.choice] = (event.reason, event.stop_text, usage)
            case _:
                pass


def replace_cached(usage: Usage) -> Usage:
    """Who goes on may find other parts of a prompt in its memory."""
    return Usage(usage.prompt_tokens, usage.completion_tokens, 0, usage.reasoning_tokens)


@pytest.fixture
def listen() -> Callable[..., Any]:
    async def listen_to(
        fleet: SmallFleet, request: ChatRequest, live: LiveRequest | None = None
    ) -> Told:
        told = Told()
        async with asyncio.timeout(30), aclosing(fleet.ingress.chat(request, live)) as events:
            async for event in events:
                told.add(event)
        return told

    return listen_to


@pytest.fixture
def ask() -> Callable[..., ChatRequest]:
    def make(text: str = "hello", **fields: Any) -> ChatRequest:
        message = Message("user", (TextPart(text),))
        request = ChatRequest("fake", (message,), seed=1, now_s=0, max_tokens=12)
        return structs.replace(request, **fields)

    return make


@pytest.fixture
def fleet_values() -> Any:
    """The makers of this file's values, for tests that have no fleet."""

    class Values:
        weights = WEIGHTS
        node = staticmethod(node_id)
        peer = staticmethod(peer_view)
        load = staticmethod(load_record)
        membership = FakeMembership
        places = FakePlaces

    return Values


@pytest.fixture
def loop_time() -> Callable[[], float]:
    return lambda: asyncio.get_running_loop().time()
