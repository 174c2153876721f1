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
from cortex.peer.fleet.view import FleetView, PeerView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring

RING = Keyring(new_fleet_key(random.Random(1).randbytes))
ID = RING.primary.key_id.hex()

ME = PeerView(NodeId(b"m" * 8), 1, "atlas", "up", True, (Address("10.0.0.1", 13132),), build="0.1")


def view_of(notices: tuple[str, ...] = ()) -> FleetView:
    return FleetView("ab", ME.node, peers=(ME,), notices=notices)


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
    twin = replace(ME, node=NodeId(b"b" * 8), name="atlas-6262", is_self=False)
    (line,) = changes(view_of(), FleetView("ab", ME.node, peers=(shown, twin)))
    assert line == "this peer is shown as atlas-6d6d: another one is called atlas too"
    (back,) = changes(FleetView("ab", ME.node, peers=(shown,)), view_of())
    assert back == "this peer is shown as atlas"


def test_a_notice_is_told_once() -> None:
    one, two = view_of(("no multicast",)), view_of(("no multicast", "a stranger"))
    assert changes(None, one) == ["no multicast"]
    assert changes(one, two) == ["a stranger"]
    assert changes(two, two) == []


def test_what_is_new_is_told_with_its_time() -> None:
    said: list[str] = []
    tell = view_teller(
        said.append, lambda text: said.append(f"14:02:31 {text}"), LoadLines(lambda: 0.0)
    )
    for view in (view_of(), view_of(("a stranger",)), view_of(("a stranger",))):
        tell(view)
    assert said == [
        "known  to the fleet as atlas, reached at 10.0.0.1:13132",
        "14:02:31 a stranger",
    ]
