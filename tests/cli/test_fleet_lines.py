"""What a peer says of its fleet, at the start and as others come and go."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from cortex.cli.fleet_lines import changes, describe_fleet
from cortex.cli.load_lines import LoadLines
from cortex.cli.serving import view_teller
from cortex.peer.config import FleetConfig
from cortex.peer.fleet.view import DeviceView, FleetView, PeerState, PeerView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring

RING = Keyring(new_fleet_key(random.Random(1).randbytes))
ID = RING.primary.key_id.hex()

ME = PeerView(NodeId(b"m" * 8), 1, "atlas", "up", True, (Address("10.0.0.1", 13132),), build="0.1")
BOREA = PeerView(
    NodeId(b"b" * 8),
    1,
    "borea",
    "up",
    False,
    (Address("192.168.1.21", 13132),),
    api="192.168.1.21:13131",
    build="0.1",
    devices=(DeviceView("NVIDIA GeForce RTX 4090", 24 << 30),),
)


def view_of(*peers: PeerView, notices: tuple[str, ...] = ()) -> FleetView:
    return FleetView("ab", ME.node, peers=(ME, *peers), notices=notices)


def fleet(**changes: object) -> FleetConfig:
    plain = FleetConfig("atlas", Path("fleet.key"))
    return replace(plain, **changes)  # pyright: ignore[reportArgumentType]


def test_the_key_is_shown_where_it_has_just_been_made_and_never_again() -> None:
    first = "\n".join(describe_fleet(fleet(), RING, is_new=True))
    later = "\n".join(describe_fleet(fleet(), RING, is_new=False))
    assert f"fleet  {ID}   new; elsewhere run: cortex join {RING.primary.text}" in first
    assert f"fleet  {ID}   to join it elsewhere, see: cortex key" in later
    assert "cortex1-" not in later


def test_the_command_that_shows_the_key_names_the_folder_that_was_named() -> None:
    named = describe_fleet(fleet(), RING, state_dir=Path("/my state"), is_new=False)
    assert named[0].endswith("see: cortex key --state-dir '/my state'")


@pytest.mark.parametrize(
    ("config", "interfaces", "where"),
    [
        (fleet(), ("lo", "eth0"), "by mDNS on lo, eth0"),
        (fleet(), (), "by mDNS on no interface: none is usable"),
        (fleet(has_mdns=False), ("lo",), "nowhere: it can only be found"),
        (
            fleet(join=("beast:13132", "http://x:1")),
            ("lo",),
            "by mDNS on lo; for beast:13132, http://x:1 (with old beast)",
        ),
    ],
)
def test_it_is_said_where_others_are_looked_for(
    config: FleetConfig, interfaces: tuple[str, ...], where: str
) -> None:
    told = describe_fleet(config, RING, interfaces, ("old beast",), is_new=False)
    assert told[1] == f"looks  {where}"


def test_a_peer_is_told_that_it_is_shown_under_another_name() -> None:
    shown = replace(ME, name="atlas-6d6d")
    twin = replace(BOREA, name="atlas-6262")
    _, line = changes(view_of(), FleetView("ab", ME.node, peers=(shown, twin)))
    assert line == "this peer is shown as atlas-6d6d: another one is called atlas too"
    (back,) = changes(FleetView("ab", ME.node, peers=(shown,)), view_of())
    assert back == "this peer is shown as atlas"


def test_a_peer_that_comes_is_told_with_what_it_computes_on_and_its_address() -> None:
    assert changes(view_of(), view_of(BOREA)) == ["borea joined (1x 4090, 192.168.1.21:13131)"]
    two = (*BOREA.devices, *BOREA.devices, DeviceView("NVIDIA A100-SXM4", 1))
    assert changes(None, view_of(replace(BOREA, devices=two, api=None))) == [
        "borea joined (2x 4090 + 1x A100-SXM4, 192.168.1.21:13132)"
    ]
    door = replace(BOREA, devices=(), roles=("gateway",))
    assert changes(None, view_of(door)) == ["borea joined (gateway, 192.168.1.21:13131)"]


def test_a_cpu_is_told_by_its_cores_and_an_api_that_is_not_for_others_not_at_all() -> None:
    alone = replace(BOREA, devices=(DeviceView("2 cores", 1),), api="127.0.0.1:13131")
    assert changes(None, view_of(alone)) == ["borea joined (2 cores, 192.168.1.21:13132)"]


def test_nothing_is_said_of_oneself_or_of_who_has_not_told_of_itself() -> None:
    assert changes(None, view_of(replace(BOREA, build=""))) == []


def test_nothing_is_said_where_nothing_has_changed() -> None:
    assert changes(view_of(BOREA), view_of(replace(BOREA, silent_s=0.4))) == []


def in_state(state: PeerState) -> FleetView:
    return view_of(replace(BOREA, state=state, silent_s=8.2))


@pytest.mark.parametrize(
    ("was", "now", "line"),
    [
        ("up", "suspect", "borea does not answer"),
        ("suspect", "up", "borea answers again"),
        ("suspect", "dead", "borea is gone: it has not answered for 8 s"),
        ("dead", "up", "borea joined (1x 4090, 192.168.1.21:13131)"),
        ("up", "draining", "borea takes nothing new: it is about to leave"),
        ("draining", "left", "borea left"),
        ("left", "up", "borea joined (1x 4090, 192.168.1.21:13131)"),
    ],
)
def test_each_change_of_state_has_its_line(was: PeerState, now: PeerState, line: str) -> None:
    assert changes(in_state(was), in_state(now)) == [line]


@pytest.mark.parametrize("state", ["dead", "left"])
def test_nobody_who_was_never_here_is_said_to_be_gone(state: PeerState) -> None:
    assert changes(view_of(), in_state(state)) == []
    assert changes(None, in_state(state)) == []


def test_a_notice_is_told_once() -> None:
    one, two = view_of(notices=("no multicast",)), view_of(notices=("no multicast", "a stranger"))
    assert changes(None, one) == ["no multicast"]
    assert changes(one, two) == ["a stranger"]
    assert changes(two, two) == []


def test_what_is_new_is_told_with_its_time() -> None:
    said: list[str] = []
    tell = view_teller(said.append, lambda: "14:02:31", LoadLines(lambda: 0.0))
    for view in (view_of(), view_of(BOREA), view_of(BOREA), in_state("suspect")):
        tell(view)
    assert said == [
        "known  to the fleet as atlas, reached at 10.0.0.1:13132",
        "14:02:31 borea joined (1x 4090, 192.168.1.21:13131)",
        "14:02:31 borea does not answer",
    ]
