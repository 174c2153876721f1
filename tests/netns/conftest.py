"""Real peers on machines of their own: namespaces at a switch that can misbehave."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass

import pytest

from bench.live.peers import Peers, peers_in, until
from bench.live.process import PeerProcess
from bench.live.switch import Conditions, Namespace, Switch, network, why_not
from cortex.peer.keys.fleet_key import new_fleet_key

NUM_MACHINES = 4
# A machine with two busy cores; how fast it is on a quiet one is a benchmark's matter.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Lab:
    """Three peers that meet by mDNS, and a machine without one. Tests leave it as it was."""

    switch: Switch
    machines: list[Namespace]
    peers: Peers

    @property
    def ours(self) -> list[PeerProcess]:
        return self.peers.all[:3]

    def settle(self) -> None:
        """The network is whole, all three are there, and see each other."""
        self.switch.conditions = Conditions()
        for peer in self.ours:
            if not peer.is_running:
                peer.start()
        for peer in self.ours:
            peer.wait()
        until(self.peers.all_see_all, PATIENCE_S, "all see each other")

    def guest(self, name: str, *options: str) -> PeerProcess:
        """A fourth peer, on the fourth machine, not started yet."""
        return self.peers.make(
            name, "--gpu", "none", "--port", "0", *options, place=self.machines[3]
        )

    def send_off(self, guest: PeerProcess) -> None:
        guest.leave()
        self.peers.all.remove(guest)


@pytest.fixture(scope="module")
def whole_lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    if reason := why_not():
        pytest.skip(reason)
    key = new_fleet_key(random.Random(4).randbytes)
    folder = tmp_path_factory.mktemp("peers")
    with network(NUM_MACHINES) as (switch, machines), peers_in(folder, key) as peers:
        lab = Lab(switch, machines, peers)
        for name, machine in zip(("ada", "bob", "cyd"), machines, strict=False):
            peers.make(name, "--gpu", "none", "--port", "0", place=machine)
        lab.settle()
        yield lab


@pytest.fixture
def lab(whole_lab: Lab) -> Generator[Lab]:
    yield whole_lab
    whole_lab.settle()
