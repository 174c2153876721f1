"""Interfaces, multicast and neighbours, as the doctor tells of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cortex.peer.doctor.multicast import Heard, hear_back, judge_interfaces, judge_multicast
from cortex.peer.doctor.neighbours import hear_neighbours, judge_neighbours
from cortex.peer.fleet.beacons import Beacon, Found
from cortex.peer.fleet.interfaces import Choice, Interface, Skipped
from cortex.peer.fleet.mdns import MdnsDiscovery, MdnsWish
from cortex.peer.fleet.sightings import Hearer
from cortex.peer.gossip.ids import BootId, NodeId

LOOPBACK = Interface("lo", 1, ("127.0.0.1",))
BOREA = Found(
    node=NodeId(b"boreabor"),
    boot=b"boot",
    tag=b"ourfleet",
    name="borea",
    versions=(1, 1),
    fleet_port=13132,
    addresses=("192.168.1.21",),
)


def test_a_question_on_the_loopback_interface_is_heard_back() -> None:
    heard = hear_back(LOOPBACK, listen_s=0.5)

    assert not heard.problem
    assert heard.own
    (finding,) = judge_multicast([heard], "HOST:PORT")
    assert finding.level == "ok"


def test_an_address_that_is_not_ours_cannot_be_asked_from() -> None:
    heard = hear_back(Interface("eth9", 9, ("198.51.100.1",)), listen_s=0.1)

    (finding,) = judge_multicast([heard], "HOST:PORT")

    assert finding.level == "FAIL"
    assert "multicast on eth9 (198.51.100.1) cannot be tried" in finding.text


def test_what_is_not_heard_back_names_the_firewall_and_the_way_without() -> None:
    deaf = Heard("eth0", "192.168.1.20", is_loopback=False)

    (finding,) = judge_multicast([deaf], "beast:13132")

    assert finding.level == "FAIL"
    assert "eth0 (192.168.1.20)" in finding.text
    assert "ufw allow 5353/udp" in finding.fix
    assert "--join beast:13132" in finding.fix


def test_interfaces_are_told_with_why_some_are_not_used() -> None:
    choice = Choice((LOOPBACK,), (Skipped("docker0", "is a bridge"), Skipped("x", "is not there")))

    used, docker, missing, alone = judge_interfaces(choice, "HOST:PORT")

    assert "lo (127.0.0.1)" in used.text
    assert docker.level == "ok"
    assert "docker0 is not used: it is a bridge" in docker.text
    assert missing.level == "warn"
    assert alone.level == "warn" and "cortex peer --join HOST:PORT" in alone.fix
    assert next(judge_interfaces(Choice(()), "HOST:PORT")).level == "FAIL"


def test_a_network_that_carries_no_multicast_is_broken() -> None:
    choice = Choice((LOOPBACK,), (Skipped("eth0", "carries no multicast"),))

    *_, alone = judge_interfaces(choice, "HOST:PORT")

    assert alone.level == "FAIL" and "only peers of this one are found" in alone.text
    assert "cortex peer --join HOST:PORT" in alone.fix


def test_a_neighbour_of_this_fleet_is_nothing_to_tell() -> None:
    assert list(judge_neighbours([BOREA], [b"ourfleet"])) == []


def test_a_foreign_fleet_is_told_once_with_how_to_join_it() -> None:
    other = replace(BOREA, node=NodeId(b"another1"), name="celia")

    (finding,) = judge_neighbours([BOREA, other], [b"elsewise"])

    assert finding.level == "warn"
    assert "that of celia" in finding.text
    assert "cortex key" in finding.fix


def test_two_under_one_id_and_a_version_that_is_not_ours_are_told_and_nothing_is_broken() -> None:
    twin = replace(BOREA, boot=b"twin")
    newer = replace(BOREA, node=NodeId(b"newernew"), name="nova", versions=(2, 2))

    double, version = judge_neighbours([BOREA, twin, newer], [b"ourfleet"])

    assert (double.level, double.check) == ("warn", "id")
    assert BOREA.node.hex() in double.text
    assert (version.level, version.check) == ("warn", "version")
    assert "nova (192.168.1.21:13132) speaks versions 2 to 2" in version.text


async def test_a_neighbour_on_this_machine_is_heard() -> None:
    own = Beacon(NodeId(b"neighbo\0"), BootId(b"bootboot"), (b"ourfleet",), "nora", 13132)
    deaf = Hearer(
        on_address=lambda ip, port: None,
        on_foreign=lambda tag, name, address: None,
        on_notice=pytest.fail,
        on_hint=pytest.fail,
        is_met=lambda node: True,
        is_alone=lambda: False,
    )
    discovery = MdnsDiscovery(own, deaf, MdnsWish(bound_host="127.0.0.1"), read=lambda: (LOOPBACK,))
    discovery.start()
    try:
        found = await hear_neighbours(["127.0.0.1"])
    finally:
        await discovery.stop()

    assert "nora" in [one.name for one in found]
