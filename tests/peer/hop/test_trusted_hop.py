"""The hop as peers have it: behind TLS, with a certificate from both sides."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from cortex.engine.fake import FakeConfig
from cortex.engine.stream import Piece
from cortex.peer.config import PeerConfig
from cortex.peer.errors import HostLost, HostRefused
from cortex.peer.fleet.trust import Trust, host_name
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.hop.dialling import Dialler
from cortex.peer.hop.messages import LeaseAsk
from cortex.peer.hop.pool import HopPool
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
Hops = Any  # this folder's conftest
ASKER, STRANGER = NodeId(b"an-asker"), NodeId(b"stranger")
MODEL = ModelId(b"weights.")


def trust(node: NodeId, number: int = 1) -> Trust:
    key = new_fleet_key(lambda size: bytes([number]) * size)
    return Trust(Keyring(key), node)


def pool(address: Address, context: Callable[[], ssl.SSLContext | None]) -> HopPool:
    return HopPool(Dialler(lambda _: [address], context, host_name), lambda _: None)


async def test_members_ask_each_other_and_nobody_else_does(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    server = trust(hops.node).server_context()
    children = memory_children()
    async with (
        asyncio.timeout(30),
        hops.fleet() as fleet,
        hops.host(fleet, make_config(), children.spawn, context=server),
    ):
        [address] = fleet.addresses[hops.node]
        async with (
            pool(address, trust(ASKER).client_context) as member,
            aclosing(member.ask(hops.node, MODEL, hops.request())) as events,
        ):
            assert any([isinstance(event, Piece) async for event in events])
        for contexts, host in (
            (trust(ASKER, number=2).client_context, hops.node),
            (trust(ASKER).client_context, STRANGER),
            (lambda: None, hops.node),
        ):
            async with pool(address, contexts) as foreign:
                with pytest.raises(HostRefused):
                    await foreign.count(host, MODEL, hops.request())


async def test_who_is_no_member_any_more_loses_its_connections(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    """The keys change at the host alone, then at the asker alone."""
    here, there = trust(ASKER), trust(hops.node)
    other = Keyring(new_fleet_key(lambda size: bytes([2]) * size))
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    endless = hops.request(max_tokens=5000, ignore_eos=True)
    async with (
        asyncio.timeout(30),
        hops.fleet() as fleet,
        hops.host(fleet, make_config(), children.spawn, context=there.server_context()) as host,
    ):
        [address] = fleet.addresses[hops.node]
        async with pool(address, here.client_context) as asker:
            for end in (host.hop, asker):
                async with aclosing(asker.ask(hops.node, MODEL, endless)) as events:
                    await anext(events)
                    end.recheck(there.node_of)  # nothing has changed
                    await anext(events)
                    with pytest.raises(HostLost):
                        end.recheck(Trust(other, hops.node).node_of)
                        async for _ in events:
                            pass


async def test_a_host_that_is_gone_is_told_of_in_plain_words(unused_tcp_port: int):
    async with pool(Address("127.0.0.1", unused_tcp_port), trust(ASKER).client_context) as member:
        with pytest.raises(HostRefused, match=r"port \d+: Connection refused$"):
            await member.lease(STRANGER, LeaseAsk("id", MODEL, (STRANGER,)))


async def test_a_host_is_asked_at_all_its_addresses_and_nobody_waits_for_a_dead_one(
    hops: Hops, make_config: MakeConfig, memory_children: Children, black_hole: Address
):
    children = memory_children()
    async with (
        asyncio.timeout(30),
        hops.fleet() as fleet,
        hops.host(fleet, make_config(), children.spawn, context=trust(hops.node).server_context()),
    ):
        places = (black_hole, *fleet.addresses[hops.node])
        dialler = Dialler(lambda _: places, trust(ASKER).client_context, host_name)
        async with HopPool(dialler, lambda _: None) as member:
            assert await member.count(hops.node, MODEL, hops.request()) > 0


async def test_a_host_without_an_address_is_told_of_in_plain_words():
    dialler = Dialler(lambda _: (), trust(ASKER).client_context, host_name)
    async with HopPool(dialler, lambda _: None) as member:
        with pytest.raises(HostRefused, match=r"at no address: .*No route to host"):
            await member.lease(STRANGER, LeaseAsk("id", MODEL, (STRANGER,)))
