"""How long a peer takes from the start of its process until all others see it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ..live.peers import Peers, free_ports, until, up_everywhere
from ..live.process import PeerProcess

LOCAL = ("--engine", "fake", "--port", "0", "--fleet-host", "127.0.0.1")
NUM_ROUNDS = 3
PATIENCE_S = 60.0


def fleet_of(peers: Peers, num_peers: int, *options: str) -> list[PeerProcess]:
    """Idle peers that have met by seeds, all with the same options."""
    ports = free_ports(num_peers)
    seeds = [word for port in ports[:2] for word in ("--join", f"127.0.0.1:{port}")]
    made = [
        peers.make(f"p{number}", *LOCAL, "--no-mdns", "--fleet-port", str(port), *seeds, *options)
        for number, port in enumerate(ports)
    ]
    settle(peers)
    return made


def settle(peers: Peers) -> None:
    for peer in peers.all:
        if not peer.is_running:
            peer.start()
    for peer in peers.all:
        peer.wait()
    until(peers.all_see_all, PATIENCE_S, "all see each other")


def joins(peers: Peers) -> Mapping[str, float]:
    ports = free_ports(3)
    loopback = ("--mdns-interfaces", "lo")
    seeds = ("--join", f"127.0.0.1:{ports[0]}")
    for number, port in enumerate(ports):
        peers.make(f"p{number}", *LOCAL, "--fleet-port", str(port), *seeds, *loopback)
    settle(peers)
    observers = list(peers.all)
    by_seed = ("--fleet-port", "0", "--no-mdns", *seeds)
    by_mdns = ("--fleet-port", "0", *loopback)
    return {
        f"seen everywhere after its start, by {how}, s": statistics.median(
            _join_s(peers, observers, f"{how}{number}", options) for number in range(NUM_ROUNDS)
        )
        for how, options in (("seed", by_seed), ("mDNS", by_mdns))
    }


def _join_s(
    peers: Peers, observers: Sequence[PeerProcess], name: str, options: Sequence[str]
) -> float:
    guest = peers.make(name, *LOCAL, *options)
    guest.start()
    seen_s = until(lambda: up_everywhere(name, observers), PATIENCE_S, "the guest is seen")
    guest.wait()
    guest.leave()
    peers.all.remove(guest)
    return seen_s
