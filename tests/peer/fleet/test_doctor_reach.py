"""The doctor's probes of real members, who take no notice of them."""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cortex.peer.doctor.reach import Prober, Target
from cortex.peer.fleet_key import new_fleet_key
from cortex.peer.gossip.ids import NodeId
from cortex.peer.keyring import Keyring

StartMember = Callable[..., Awaitable[Any]]


def target_of(member: Any, node: bytes | None = None) -> Target:
    return Target(NodeId(node or member.view.self_node), "it", "127.0.0.1", member.sockets.port)


async def test_a_member_answers_by_datagram_and_by_tls_and_keeps_nothing_of_it(
    start_member: StartMember, keyring: Keyring
) -> None:
    member = await start_member("first")
    before = member.view

    reach = await Prober(keyring).probe(target_of(member))

    assert reach.datagram_s is not None
    assert reach.tls_s is not None
    assert reach.tls_problem is None
    assert reach.clock_ahead_s == pytest.approx(0.0, abs=2.0)
    assert member.view.peers == before.peers


async def test_another_key_is_told_from_silence(start_member: StartMember) -> None:
    member = await start_member("first")
    other = Keyring(new_fleet_key(random.Random(99).randbytes))

    reach = await Prober(other).probe(target_of(member))

    assert reach.datagram_s is None
    assert reach.tls_problem == "key"


async def test_a_retired_key_is_refused_by_name(
    start_member: StartMember, keyring: Keyring
) -> None:
    newer = new_fleet_key(random.Random(5).randbytes)
    ring = keyring.adding(newer).using(newer.key_id).dropping(keyring.primary.key_id)
    member = await start_member("first", keyring=ring)

    reach = await Prober(keyring).probe(target_of(member))

    assert reach.refusal == "retired key"
    assert reach.tls_problem == "key"


async def test_another_node_than_was_thought_is_told(
    start_member: StartMember, keyring: Keyring
) -> None:
    member = await start_member("first")

    reach = await Prober(keyring).probe(target_of(member, b"not it!!"))

    assert reach.datagram_s is None
    assert reach.tls_problem == "node"


async def test_a_port_where_nobody_listens_is_told(keyring: Keyring) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    reach = await Prober(keyring).probe(Target(NodeId(b"somebody"), "it", "127.0.0.1", port))

    assert reach.datagram_s is None
    assert reach.refusal
    assert reach.tls_problem == "refused"
