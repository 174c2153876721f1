"""The doctor's probes of real members, who take no notice of them."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cortex.peer.doctor.examination import Inquiry, examine
from cortex.peer.doctor.reach import Prober, Target
from cortex.peer.fleet.rendering import Renderer
from cortex.peer.fleet.view import PeerView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.timing import Timing
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring, write_keyring
from cortex.peer.onlooker.asking import Door

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


async def test_a_peer_of_which_only_the_address_is_known_is_tried_by_it(
    start_member: StartMember, keyring: Keyring
) -> None:
    member = await start_member("first")
    target = replace(target_of(member), node=None)
    other = Keyring(new_fleet_key(random.Random(99).randbytes))

    reach = await Prober(keyring).probe(target)
    foreign = await Prober(other).probe(target)

    assert reach.datagram_s is not None and reach.tls_s is not None
    assert (foreign.datagram_s, foreign.tls_problem) == (None, "key")


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


def is_named_borea(peer: PeerView) -> bool:
    return peer.state == "up" and peer.name == "borea"


def is_silent(peer: PeerView) -> bool:
    return peer.state in ("suspect", "dead")


@asynccontextmanager
async def api_of(member: Any) -> AsyncGenerator[Door]:
    """The one route of a peer's API that the doctor asks."""

    async def fleet(_: web.Request) -> web.Response:
        return web.json_response(Renderer().render(member.view).whole(time.monotonic()))

    app = web.Application()
    app.add_routes([web.get("/fleet", fleet)])
    async with TestServer(app) as server:
        yield Door(f"127.0.0.1:{server.port}")


async def test_a_fleet_in_order_is_found_so_and_who_ends_is_named(
    start_member: StartMember, keyring: Keyring, fast: Timing, tmp_path: Path
) -> None:
    write_keyring(tmp_path / "fleet.key", keyring)
    atlas = await start_member("atlas", timing=fast)
    borea = await start_member("borea", atlas, timing=fast)
    await atlas.until_sees(borea, is_named_borea)
    borea_at, atlas_at = borea.address, atlas.address
    async with api_of(atlas) as door:
        inquiry = Inquiry(tmp_path / "fleet.key", tmp_path, tmp_path, (door,), has_mdns=False)
        well = await examine(inquiry)
        await borea.close()
        await atlas.until_sees(borea, is_silent)
        ill = await examine(inquiry)

    reach = [finding.text for finding in well if finding.check == "reach"]
    assert {finding.level for finding in well} == {"ok"}
    assert reach[0].startswith(f"this peer at {atlas_at} answers: UDP ")
    assert reach[1].startswith(f"borea at {borea_at} answers: UDP ")
    (gone,) = (finding for finding in ill if finding.level != "ok")
    assert f"borea at {borea_at}" in gone.text
    assert gone.fix.startswith("start it again")
