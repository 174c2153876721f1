"""GET /fleet and /fleet/events: what is told, what of it changes, and who may look on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from msgspec import structs

from cortex.peer.api import onlookers
from cortex.peer.api.app import make_app
from cortex.peer.bounds.limits import ConnectionLimits
from cortex.peer.config import PeerConfig
from cortex.peer.fleet.membership import GossipCounters
from cortex.peer.fleet.rendering import Rendered, Renderer
from cortex.peer.fleet.view import (
    DeviceView,
    FleetView,
    PeerView,
    PlacedModel,
    StoredModel,
)
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Address, LoadRecord, ModelLoad
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.node import Node
from tests.peer.in_memory import node_of_none, serving

MakeConfig = Callable[..., PeerConfig]
Client = TestClient[Any, Any]
DEADLINE_S = 30
A, B = NodeId(b"a" * 8), NodeId(b"b" * 8)
WEIGHTS = ModelId(b"w" * 8)
GIB = 1024**3
LOAD = LoadRecord(A, 1, 5, 0, 3, 1, 40, 210, 900, (), (ModelLoad(WEIGHTS, 2, 1, 5),))
ATLAS = PeerView(
    A,
    gen=1,
    name="atlas",
    state="up",
    is_self=True,
    addresses=(Address("192.168.1.20", 13132),),
    api="192.168.1.20:13131",
    build="cortex-0.1.0",
    roles=("gateway",),
    devices=(DeviceView("NVIDIA H100 80GB", 80 * GIB, 25 * GIB, 0.92),),
    num_cores=32,
    memory_bytes=256 * GIB,
    stored=(StoredModel(WEIGHTS, "qwen", 51 * GIB, 262144, ("text", "vision"), 7),),
    placed=(PlacedModel(WEIGHTS, "qwen", "ready", 51 * GIB, 262144, "fast mode, bfloat16"),),
    load=LOAD,
)
BOREA = PeerView(B, gen=1, name="borea", state="up", is_self=False, silent_s=0.4)
VIEW = FleetView("3fa2c1d0", A, peers=(ATLAS, BOREA), notices=("no multicast",))


class FakeMembership:
    """A fleet that changes when the test says so."""

    def __init__(self, view: FleetView = VIEW) -> None:
        self.view = view
        self.counters = GossipCounters(1200, 3400)
        self.watchers: list[Callable[[FleetView], None]] = []

    def watch(self, on_view: Callable[[FleetView], None]) -> Callable[[], None]:
        self.watchers.append(on_view)
        return lambda: self.watchers.remove(on_view)

    def become(self, view: FleetView) -> None:
        self.view = view
        for on_view in self.watchers:
            on_view(view)


@asynccontextmanager
async def peer(config: PeerConfig, membership: FakeMembership) -> AsyncGenerator[Client]:
    async with (
        asyncio.timeout(DEADLINE_S),
        Node(config) as node,
        TestClient(TestServer(app_of(node, membership))) as client,
    ):
        yield client


@asynccontextmanager
async def lone(config: PeerConfig) -> AsyncGenerator[tuple[Node, ClientSession]]:
    """A peer in a fleet of its own."""
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        ClientSession(f"http://{server.address}") as client,
    ):
        yield server.node, client


def app_of(node: Node, membership: FakeMembership) -> web.Application:
    """Nothing is asked of others, nor of an engine."""
    control = SimpleNamespace(view=replace(VIEW, peers=()))
    member: Any = SimpleNamespace(
        fleet=membership, ingress=None, control=control, node_of=node_of_none, routes=list
    )
    return make_app(node, member)


async def events_of(reply: ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in reply.content:
        field, _, value = line.decode().strip().partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def rendered(*peers: PeerView, **changes: Any) -> Rendered:
    return Renderer().render(replace(VIEW, peers=peers, **changes))


def test_a_view_is_told_with_every_number_in_its_unit() -> None:
    told = rendered(*VIEW.peers).whole(0.0)
    assert (told["fleet"], told["self"], told["notices"]) == (
        "3fa2c1d0",
        A.hex(),
        ["no multicast"],
    )
    atlas, borea = told["peers"]
    assert atlas["devices"] == [
        {
            "name": "NVIDIA H100 80GB",
            "memory_bytes": 80 * GIB,
            "free_bytes": 25 * GIB,
            "utilisation": 0.92,
        }
    ]
    assert atlas["models"] == [
        {
            "id": "qwen",
            "weights": WEIGHTS.hex(),
            "state": "ready",
            "computes_in": "fast mode, bfloat16",
            "percent": None,
            "size_bytes": 51 * GIB,
            "context_tokens": 262144,
            "device": 0,
            "reserved_bytes": 0,
            "slots": 0,
            "pinned": False,
            "priority": 0,
            "running": 2,
            "waiting": 1,
        }
    ]
    assert atlas["load"]["decode_tokens_per_s"] == 900
    assert (atlas["load"]["inflight"], atlas["load"]["queued"]) == (3, 1)
    assert atlas["load"]["age_s"] == 0.5
    assert atlas["address"] == "192.168.1.20:13132"
    assert (borea["load"], borea["api"], borea["silent_s"]) == (None, None, 0.4)


def test_ages_grow_while_a_view_is_held() -> None:
    held = rendered(*(replace(peer, made_s=100.0) for peer in VIEW.peers))
    told = held.whole(103.0)
    assert told["peers"][0]["load"]["age_s"] == 3.5
    assert [peer["silent_s"] for peer in told["peers"]] == [0.0, 3.4]
    assert held.ages(103.0) == {A.hex(): [0.0, 3.5], B.hex(): [3.4, None]}
    assert list(held.news(rendered(*VIEW.peers), 103.0)) == []


def test_a_peer_is_loading_where_one_of_its_models_is() -> None:
    placed = (replace(ATLAS.placed[0], state="loading", percent=74),)
    views = [replace(ATLAS, placed=placed), replace(ATLAS, placed=placed, state="suspect")]
    told = [rendered(one).whole(0.0)["peers"][0] for one in views]
    assert [peer["state"] for peer in told] == ["loading", "suspect"]
    assert told[0]["models"][0]["percent"] == 74


def test_news_tells_what_changed_and_nothing_else() -> None:
    before = rendered(*VIEW.peers)
    late = replace(BOREA, state="suspect")
    assert list(before.news(before, 0.0)) == []
    [(name, peer)] = rendered(ATLAS, late).news(before, 0.0)
    assert (name, peer["name"], peer["state"]) == ("peer", "borea", "suspect")
    alone = rendered(ATLAS, notices=())
    news: list[tuple[str, Any]] = [("gone", {"node": B.hex()}), ("notices", {"notices": []})]
    assert list(alone.news(before, 0.0)) == news
    assert [name for name, _ in before.news(alone, 0.0)] == ["peer", "notices"]
    other = rendered(*VIEW.peers, fleet="0")
    assert list(other.news(before, 0.0)) == [("snapshot", other.whole(0.0))]


def test_what_a_peer_stores_is_told_again_only_where_that_has_changed() -> None:
    before = rendered(*VIEW.peers)
    busier = replace(ATLAS, load=structs.replace(LOAD, num_inflight=4))
    [(_, peer)] = rendered(busier, BOREA).news(before, 0.0)
    assert (peer["load"]["inflight"], "stored" in peer) == (4, False)
    [(_, peer)] = rendered(replace(busier, stored=()), BOREA).news(before, 0.0)
    assert (peer["load"]["inflight"], peer["stored"]) == (4, [])
    [(_, peer)] = before.news(rendered(BOREA), 0.0)
    assert [model["id"] for model in peer["stored"]] == ["qwen"], "nobody was told of it before"


def test_only_what_is_new_in_a_view_is_rendered_for_however_many_look_on() -> None:
    renderer = Renderer()
    first = renderer.render(VIEW)
    assert renderer.render(VIEW) is first
    busier = replace(ATLAS, load=structs.replace(LOAD, num_inflight=4))
    after = renderer.render(replace(VIEW, peers=(busier, BOREA)))
    assert after.peers[B] is first.peers[B]
    assert after.peers[A]["stored"] is first.peers[A]["stored"]
    assert after.peers[A]["load"]["inflight"] == 4
    emptied = renderer.render(replace(VIEW, peers=(replace(busier, stored=()),)))
    assert emptied.peers[A]["stored"] == []


async def test_a_stream_begins_with_all_and_goes_on_with_changes_and_ages(
    make_config: MakeConfig,
) -> None:
    membership = FakeMembership()
    async with peer(make_config(), membership) as client, client.get("/fleet/events") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        events = events_of(reply)
        name, told = await anext(events)
        assert (name, told) == ("snapshot", await (await client.get("/fleet")).json())
        membership.become(replace(VIEW, peers=(ATLAS, replace(BOREA, state="dead"))))
        name, told = await anext(events)
        assert (name, told["state"]) == ("peer", "dead")
        name, told = await anext(events)
        assert (name, set(told)) == ("ages", {A.hex(), B.hex()})
    assert not membership.watchers


async def test_the_head_of_a_stream_is_all_that_was_asked_for(make_config: MakeConfig) -> None:
    async with peer(make_config(), FakeMembership()) as client:
        async with client.head("/fleet/events") as reply:
            assert reply.status == 200
        # The connection is none the worse for it.
        assert (await client.get("/fleet")).status == 200


async def test_streams_of_one_asker_are_few_and_the_operator_has_one_all_the_same(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onlookers, "_MOST_OF_ONE", 2)
    admin = ApiKey("ops", digest_of("k"), is_admin=True)
    async with (
        peer(make_config(admin_keys=(admin,)), FakeMembership()) as client,
        client.get("/fleet/events") as first,
        client.get("/fleet/events"),
    ):
        async with client.get("/fleet/events") as third:
            assert (third.status, "2 of 127.0.0.1" in await third.text()) == (503, True)
        async with client.get("/fleet/events", headers={"x-api-key": "k"}) as operators:
            assert operators.status == 200
        first.close()
        await until_it_is(client, 200)


async def test_streams_leave_room_for_questions(make_config: MakeConfig) -> None:
    config = make_config(connections=ConnectionLimits(max_connections=4))
    async with peer(config, FakeMembership()) as client, client.get("/fleet/events"):
        await until_it_is(client, 503)


async def until_it_is(client: Client, status: int) -> None:
    """What a new stream is told, once the end of others has been seen."""
    while True:
        async with client.get("/fleet/events") as reply:
            if reply.status == status:
                return


async def test_a_reader_that_looked_away_is_told_what_is_true_now(make_config: MakeConfig) -> None:
    membership = FakeMembership()
    async with peer(make_config(), membership) as client, client.get("/fleet/events") as reply:
        events = events_of(reply)
        await anext(events)
        for percent in range(1, 101):
            placed = (replace(ATLAS.placed[0], state="loading", percent=percent),)
            membership.become(replace(VIEW, peers=(replace(ATLAS, placed=placed), BOREA)))
        name, told = await anext(events)
        assert (name, told["models"][0]["percent"]) == ("peer", 100)


async def test_a_stream_ends_with_its_peer(make_config: MakeConfig) -> None:
    membership = FakeMembership()
    async with asyncio.timeout(DEADLINE_S), Node(make_config()) as node:
        server = TestServer(app_of(node, membership))
        async with TestClient(server) as client, client.get("/fleet/events") as reply:
            events = events_of(reply)
            await anext(events)
            await server.app.shutdown()
            assert [event async for event in events] == []
    assert not membership.watchers


async def test_a_peer_that_knows_nobody_tells_of_itself_alone(make_config: MakeConfig) -> None:
    async with lone(make_config()) as (_, client):
        async with client.get("/fleet/events") as reply:
            name, first = await anext(events_of(reply))
        told = first
        while not told["peers"][0]["stored"]:  # the disks are looked at soon after the start
            told = await (await client.get("/fleet")).json()
    [me] = told["peers"]
    assert (me["name"], me["node"], me["state"]) == ("atlas", told["self"], "up")
    assert [model["id"] for model in me["stored"]] == ["fake"]
    assert me["models"] == []
    assert (name, first["self"]) == ("snapshot", told["self"])


async def test_a_peer_that_knows_nobody_tells_what_happens_at_it(make_config: MakeConfig) -> None:
    async with lone(make_config()) as (node, client):
        async with client.get("/fleet/events") as reply:
            events = events_of(reply)
            await anext(events)
            while not _is_heard(node):  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
            body = {"model": "fake", "prompt": "a", "max_tokens": 1}
            assert (await client.post("/v1/completions", json=body)).status == 200
            told = [what["what"] async for _, what in _until_loaded(events)]
        detail = await (await client.get("/fleet/peers/atlas")).json()
    assert told == ["loading", "loaded"]
    assert (detail["name"], detail["round_trips"]) == ("atlas", [])
    assert [event["text"].split()[0] for event in detail["events"]] == told


def _is_heard(node: Node) -> bool:
    return bool(node.chronicle._watchers)  # pyright: ignore[reportPrivateUsage]


async def _until_loaded(events: AsyncIterator[tuple[str, Any]]) -> AsyncIterator[tuple[str, Any]]:
    async for name, what in events:
        if name == "happening":
            yield name, what
            if what["what"] == "loaded":
                return


async def test_the_fleet_is_shown_to_those_who_may_ask(make_config: MakeConfig) -> None:
    from cortex.peer.keys.access import ApiKey, digest_of, make_key

    key = make_key(bytes(32))
    keys = (ApiKey("k", digest_of(key)),)
    async with peer(make_config(keys=keys), FakeMembership()) as client:
        for path in ("/fleet", "/fleet/events"):
            assert (await client.get(path)).status == 401
            async with client.get(path, headers={"authorization": f"Bearer {key}"}) as reply:
                assert reply.status == 200


async def test_the_fleet_is_counted_for_prometheus(make_config: MakeConfig) -> None:
    dead = replace(VIEW, peers=(ATLAS, replace(BOREA, state="dead")))
    async with peer(make_config(), FakeMembership(dead)) as client:
        text = await (await client.get("/metrics")).text()
    assert 'cortex_peers{peer="atlas",state="up"} 1.0' in text
    assert 'cortex_peers{peer="atlas",state="dead"} 1.0' in text
    assert 'cortex_peers{peer="atlas",state="left"} 0.0' in text
    assert 'cortex_gossip_bytes_total{direction="sent",peer="atlas"} 1200.0' in text
    assert 'cortex_gossip_bytes_total{direction="received",peer="atlas"} 3400.0' in text
