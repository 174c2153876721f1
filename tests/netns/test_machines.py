"""Peers as processes on machines of their own, whose network and luck are bad.

Each machine is a network namespace, joined by a switch in user space: skipped without root.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import Any

import pytest

from bench.live.peers import until, up_everywhere
from bench.live.process import PeerProcess

PATIENCE_S = 60.0
# What the protocol needs for a verdict in a fleet of three, and a busy machine's delay.
VERDICT_S = 30.0


def states_of(name: str, observers: Sequence[PeerProcess]) -> set[str]:
    return {peer.states()[name] for peer in observers}


def node_of(peer: PeerProcess) -> str:
    return peer.fleet()["self"]


def watch(observers: Sequence[PeerProcess], seconds: float) -> set[str]:
    """Every state that anybody held of anybody meanwhile."""
    seen: set[str] = set()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for peer in observers:
            seen |= set(peer.states().values())
        time.sleep(0.2)
    return seen


def test_peers_of_one_network_meet_by_multicast(lab: Any) -> None:
    guest = lab.guest("guest")
    guest.start()
    guest.wait()
    until(lambda: up_everywhere("guest", lab.ours), PATIENCE_S, "the guest is seen by all")
    until(lambda: set(guest.states().values()) == {"up"}, PATIENCE_S, "the guest sees all")
    assert len(guest.states()) == 3
    lab.send_off(guest)
    assert states_of("guest", lab.ours) == {"left"}


def test_a_peer_without_multicast_is_let_in_by_a_seed(lab: Any) -> None:
    seed = lab.ours[0].fleet()["peers"][0]["address"]
    guest = lab.guest("seeded", "--no-mdns", "--join", seed)
    guest.start()
    guest.wait()
    until(lambda: up_everywhere("seeded", lab.ours), PATIENCE_S, "the guest is seen by all")
    lab.send_off(guest)


def test_a_killed_peer_is_known_to_be_dead_and_comes_back_as_itself(lab: Any) -> None:
    victim, *others = lab.ours
    node = node_of(victim)
    victim.kill()
    until(lambda: states_of("ada", others) == {"dead"}, VERDICT_S, "the dead are known to be dead")
    victim.start()
    victim.wait()
    until(lambda: up_everywhere("ada", others), PATIENCE_S, "the dead are back")
    assert node_of(victim) == node


def test_a_copied_state_directory_makes_two_peers_and_not_one(lab: Any) -> None:
    original, *others = lab.ours
    clone = lab.peers.clone(original, "clone", lab.machines[3])
    clone.start()
    clone.wait()
    until(
        lambda: node_of(clone) != node_of(original) and lab.peers.all_see_all(),
        PATIENCE_S,
        "the clone is somebody else",
    )
    assert states_of("ada", others) == {"up"}
    lab.send_off(clone)


def test_a_link_that_works_one_way_only_makes_nobody_dead(lab: Any) -> None:
    lab.switch.conditions.one_way_cut = {(0, 1)}
    assert "dead" not in watch(lab.ours, 12.0)


@pytest.mark.slow
def test_a_fifth_of_all_packets_lost_for_a_minute_makes_nobody_dead(lab: Any) -> None:
    lab.switch.conditions.loss = 0.2
    lab.switch.conditions.delay_s = (0.0, 0.02)
    lab.switch.conditions.doubling = 0.05
    assert "dead" not in watch(lab.ours, 60.0)


@pytest.mark.slow
def test_two_sides_that_lost_each_other_for_a_minute_find_back(lab: Any) -> None:
    lab.switch.conditions.group = {0: 1}
    time.sleep(60.0)
    assert states_of("ada", lab.ours[1:]) == {"dead"}
    assert set(lab.ours[0].states().values()) <= {"dead", "left"}
    lab.switch.conditions.group = {}
    until(lab.peers.all_see_all, PATIENCE_S, "both sides see each other")


@pytest.mark.slow
def test_a_peer_that_was_halted_for_20_s_returns_and_accuses_nobody(lab: Any) -> None:
    victim, *others = lab.ours
    victim.signal(signal.SIGSTOP)
    halted_s = time.monotonic()
    try:
        until(lambda: states_of("ada", others) == {"dead"}, VERDICT_S, "the halted seem dead")
        time.sleep(max(0.0, halted_s + 20.0 - time.monotonic()))
    finally:
        victim.signal(signal.SIGCONT)
    until(lambda: up_everywhere("ada", others), PATIENCE_S, "the halted are back")
    assert "dead" not in watch(lab.ours, 10.0)
