"""What peers ask of each other on the fleet's port, by a member that means harm or is odd."""

from __future__ import annotations

import asyncio
import io
import random
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from cortex.peer.errors import HostLost, HostRefused
from cortex.peer.fleet.client import (
    CATALOGUE_PATH,
    PING_PATH,
    SYNC_PATH,
    PeerClient,
    open_peer_session,
)
from cortex.peer.fleet.membership import OwnState
from cortex.peer.fleet.trust import Trust, host_name
from cortex.peer.fleet.view import FleetView, StoredModel
from cortex.peer.fleet.wire import (
    MAX_BODY_BYTES,
    SyncQuestion,
    digest_of,
    packed_catalogue,
    page,
    read_catalogue,
)
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Address, Row, Section
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring

StartMember = Callable[..., Awaitable[Any]]
CALLER = NodeId(b"a caller")


class Places(dict[NodeId, tuple[Address, ...]]):
    """Where the client looks for whom."""

    def learn(self, member: Any) -> NodeId:
        node: NodeId = member.view.self_node
        self[node] = (Address("127.0.0.1", member.sockets.port),)
        return node


@pytest.fixture
def places() -> Places:
    return Places()


@pytest.fixture
async def session(places: Places) -> AsyncGenerator[aiohttp.ClientSession]:
    async with open_peer_session(lambda node: places.get(node, ())) as opened:
        yield opened


@pytest.fixture
async def plain() -> AsyncGenerator[aiohttp.ClientSession]:
    """Finds nobody by name."""
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def client(session: aiohttp.ClientSession, keyring: Keyring) -> PeerClient:
    return PeerClient(Trust(keyring, CALLER), session, lambda _: 1.0)


async def test_rows_go_both_ways_in_one_exchange(
    start_member: StartMember, client: PeerClient, places: Places
):
    member = await start_member()
    node = places.learn(member)
    reply = await client.sync(node, SyncQuestion(digest=()))
    assert [row.node for row in reply.rows] == [node]
    assert not reply.wants and not reply.has_more
    row = Row(CALLER, 1, 0, 0, 1, (Section(200, 1, b"new"),), Address("127.0.0.1", 9))
    await client.sync(node, SyncQuestion(rows=(row,)))

    def is_seen(view: FleetView) -> bool:
        return view.peer(CALLER) is not None

    await member.until(is_seen)
    told = await client.sync(node, SyncQuestion(digest=()))
    assert {each.node: each.sections for each in told.rows}[CALLER] == row.sections


async def test_a_table_of_more_than_a_body_comes_in_pages(
    start_member: StartMember, client: PeerClient, places: Places
):
    member = await start_member()
    node = places.learn(member)
    place = Address("192.0.2.1", 9)
    rows = [
        Row(NodeId(number.to_bytes(8, "big")), 1, 0, 0, 1, (Section(200, 1, content),), place)
        for number in range(1, 1200)
        if (content := random.Random(number).randbytes(4000))
    ]
    left = rows
    while left:
        part = page(left)
        await client.sync(node, SyncQuestion(rows=part))
        left = left[len(part) :]
    first = await client.sync(node, SyncQuestion(digest=()))
    assert first.has_more and 1 < len(first.rows) < len(rows) + 1


async def test_the_list_of_models_is_the_one_whose_hash_is_told(
    start_member: StartMember, client: PeerClient, places: Places
):
    member = await start_member()
    models = (StoredModel(ModelId(b"modelmod"), "org/x", 1, 2, ("text",), 3),)
    member.fleet.tell(OwnState(stored=models))
    body = await client.catalogue(places.learn(member))
    assert read_catalogue(body) == (models, True)
    assert digest_of(body) == digest_of(packed_catalogue(models))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xc1",
        b"\x02\x80",
        b"\x01" + zlib.compress(bytes(20 * MAX_BODY_BYTES)),
        bytes(MAX_BODY_BYTES + 1),
    ],
    ids=["nothing", "no message", "another form", "a bomb", "too long"],
)
async def test_garbage_is_refused_and_changes_nothing(
    start_member: StartMember,
    plain: aiohttp.ClientSession,
    client: PeerClient,
    places: Places,
    keyring: Keyring,
    body: bytes,
):
    member = await start_member()
    node = places.learn(member)
    trust = Trust(keyring, CALLER)
    async with plain.post(
        f"https://127.0.0.1:{member.sockets.port}{SYNC_PATH}",
        data=io.BytesIO(body),
        ssl=trust.client_context(),
        server_hostname=host_name(node),
    ) as reply:
        assert reply.status == 400
    await client.ping(node)
    assert len(member.view.peers) == 1


async def test_strangers_are_refused_whatever_they_ask(
    start_member: StartMember,
    session: aiohttp.ClientSession,
    plain: aiohttp.ClientSession,
    places: Places,
):
    member = await start_member()
    node = places.learn(member)
    foreign = Trust(Keyring(new_fleet_key(random.Random(9).randbytes)), CALLER)
    stranger = PeerClient(foreign, session, lambda _: 1.0)
    with pytest.raises(HostLost):
        await stranger.ping(node)
    for path in (PING_PATH, CATALOGUE_PATH):
        with pytest.raises(aiohttp.ClientError):
            await plain.get(f"https://127.0.0.1:{member.sockets.port}{path}", ssl=False)


async def test_a_member_is_not_taken_for_another(
    start_member: StartMember, client: PeerClient, places: Places
):
    member = await start_member()
    other = NodeId(b"another!")
    places[other] = places[places.learn(member)]
    with pytest.raises(HostLost):
        await client.ping(other)


async def test_where_nobody_listens_no_connection_comes_about(
    start_member: StartMember, client: PeerClient, places: Places
):
    member = await start_member()
    node = places.learn(member)
    await member.close()
    with pytest.raises(HostRefused):
        await client.ping(node)


async def test_a_connection_from_before_a_key_was_dropped_opens_nothing_more(
    start_member: StartMember, client: PeerClient, places: Places, keyring: Keyring
):
    member = await start_member()
    node = places.learn(member)
    await client.ping(node)
    new = new_fleet_key(random.Random(10).randbytes)
    ring = keyring.adding(new).using(new.key_id).dropping(keyring.primary.key_id)
    member.fleet.rekey(ring)
    with pytest.raises(HostLost):
        await client.ping(node)


async def test_an_address_that_swallows_everything_holds_nobody_up(
    start_member: StartMember, client: PeerClient, places: Places, black_hole: Address
):
    """One that is told first, and another that refuses: the right one is found in time."""
    member = await start_member()
    node = places.learn(member)
    nobody = Address("127.0.0.1", 1)
    places[node] = (black_hole, nobody, *places[node])
    began_s = asyncio.get_running_loop().time()
    await client.ping(node)
    assert asyncio.get_running_loop().time() - began_s < 0.9


async def test_who_else_is_at_an_old_address_is_passed_over(
    start_member: StartMember, client: PeerClient, places: Places
):
    member, other = await start_member(), await start_member("other")
    node = places.learn(member)
    places[node] = (*places[places.learn(other)], *places[node])
    await client.ping(node)


async def test_of_whom_no_address_is_known_there_is_no_connection(client: PeerClient):
    with pytest.raises(HostRefused, match="No route to host"):
        await client.ping(NodeId(b"nowhere!"))
