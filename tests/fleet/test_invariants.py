"""Whatever befalls a small fleet, some things never happen, and afterwards all agree again.

Hypothesis chooses what is killed, cloned, cut, stalled, lost, published and loaded, which keys are
used where, and in which order; the fleet runs in virtual time and its datagrams are sealed. The
invariants are numbered as in the protocol's description; I8 is a property of the merge alone, and
tested in test_members.py.
"""

from __future__ import annotations

import random
from collections import defaultdict

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

from bench.fleet.mail import SealedMail
from bench.fleet.simulator import Fleet, Peer
from cortex.peer.gossip.envelope import MAX_DATAGRAM_BYTES
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.members import State
from cortex.peer.gossip.records import ModelLoad
from cortex.peer.keys.fleet_key import FleetKey, new_fleet_key
from cortex.peer.keys.keyring import Keyring
from tests.fleet.stage import size_of

NUM_PEERS = 4
PEERS = st.integers(0, NUM_PEERS - 1)
SECTIONS = (1, 2, 3, 200)
KEYS = tuple(new_fleet_key(random.Random(number).randbytes) for number in range(3))
CLOCK_JUMPS_S = (-1_800_000_000, -3600, 3600, 10**9)


def sealed_mail(peer: Peer) -> SealedMail:
    assert isinstance(peer.mail, SealedMail)
    return peer.mail


class FleetMachine(RuleBasedStateMachine):
    """What may happen to a fleet, in any order."""

    @initialize(seed=st.integers(0, 2**16), size=st.integers(2, NUM_PEERS))
    def begin(self, seed: int, size: int) -> None:
        self.fleet = Fleet(size, seed, ring=Keyring(KEYS[0]))
        self.load_tellers: list[int] = []  # every load that is told is told once
        self.machines: defaultdict[NodeId, set[int]] = defaultdict(set)
        self.left: set[tuple[NodeId, int, int]] = set()
        self.highest: dict[tuple[int, int, NodeId], tuple[int, int]] = {}
        self.versions: dict[tuple[int, int, NodeId, int, int], int] = {}

    def peer(self, index: int) -> Peer:
        return self.fleet.peers[index % len(self.fleet.peers)]

    @rule(seconds=st.sampled_from((0.05, 0.3, 1.0, 4.0, 12.0)))
    def time_passes(self, seconds: float) -> None:
        self.fleet.run(seconds)

    @rule(index=PEERS)
    def one_dies(self, index: int) -> None:
        self.fleet.kill(self.peer(index).index)

    @rule(index=PEERS)
    def one_starts_again(self, index: int) -> None:
        peer = self.peer(index)
        self.fleet.restart(peer.index)
        self.know_all(peer.index)

    @rule(index=PEERS, jump_s=st.sampled_from(CLOCK_JUMPS_S))
    def a_clock_jumps_and_its_peer_starts_again(self, index: int, jump_s: int) -> None:
        self.peer(index).clock_s += jump_s
        self.one_starts_again(index)

    @rule(index=PEERS, source=PEERS)
    def a_state_directory_is_copied(self, index: int, source: int) -> None:
        copy, original = self.peer(index), self.peer(source)
        if copy is not original:
            self.fleet.clone(copy.index, original.index)
            self.know_all(copy.index)

    @rule(index=PEERS)
    def one_leaves(self, index: int) -> None:
        peer = self.peer(index)
        if peer.is_up:
            gen, inc, _ = peer.core.own.standing
            self.left.add((peer.core.own.node, gen, inc))
            self.fleet.leave(peer.index)
            self.fleet.run(0.2)

    @rule(index=PEERS, seconds=st.sampled_from((0.4, 3.0, 20.0)))
    def one_stalls(self, index: int, seconds: float) -> None:
        self.fleet.stall(self.peer(index).index, seconds)

    @rule(split_at=st.integers(1, NUM_PEERS - 1))
    def the_network_falls_apart(self, split_at: int) -> None:
        self.fleet.split(set(range(split_at)))

    @rule(speaker=PEERS, hearer=PEERS)
    def a_link_works_one_way_only(self, speaker: int, hearer: int) -> None:
        cut = (self.peer(speaker).index, self.peer(hearer).index)
        self.fleet.network.one_way_cut.add(cut)

    @rule()
    def the_network_heals(self) -> None:
        self.fleet.heal()

    @rule(loss=st.sampled_from((0.0, 0.1, 0.3, 0.6)), doubling=st.sampled_from((0.0, 0.5)))
    def the_network_changes(self, loss: float, doubling: float) -> None:
        self.fleet.network.loss, self.fleet.network.doubling = loss, doubling

    @rule(delay_s=st.sampled_from((0.004, 0.4)))
    def datagrams_overtake_each_other(self, delay_s: float) -> None:
        self.fleet.network.delay_s = (0.0005, delay_s)

    @rule(index=PEERS, section=st.sampled_from(SECTIONS), size=st.sampled_from((0, 30, 500, 900)))
    def one_publishes(self, index: int, section: int, size: int) -> None:
        peer = self.peer(index)
        if peer.is_up:
            self.fleet.publish(peer.index, section, bytes(size))

    @rule(index=PEERS, is_loaded=st.booleans())
    def one_loads_or_unloads(self, index: int, is_loaded: bool) -> None:
        peer = self.peer(index)
        if peer.is_up:
            self.load_tellers.append(peer.index)
            num_inflight = len(self.load_tellers)
            models = (ModelLoad(ModelId(bytes(8)), num_inflight, 0, 9),) if is_loaded else ()
            load = replace(peer.core.own.no_load(), num_inflight=num_inflight, models=models)
            peer.core.set_load(self.fleet.now_s, load)
            self.fleet.publish(peer.index, 3, b"loaded" if is_loaded else b"")

    @rule(index=PEERS, key=st.sampled_from(KEYS), is_used=st.booleans())
    def a_key_is_added_and_may_be_used(self, index: int, key: FleetKey, is_used: bool) -> None:
        mail = sealed_mail(self.peer(index))
        ring = mail.ring.adding(key)
        mail.use(ring.using(key.key_id) if is_used else ring)

    @rule(index=PEERS)
    def the_other_keys_are_dropped(self, index: int) -> None:
        mail = sealed_mail(self.peer(index))
        for key in mail.ring.others:
            mail.use(mail.ring.dropping(key.key_id))

    @rule(largest_bytes=st.sampled_from((400, MAX_DATAGRAM_BYTES)))
    def only_small_datagrams_get_through(self, largest_bytes: int) -> None:
        self.fleet.network.largest_bytes = largest_bytes

    @precondition(lambda self: bool(self.fleet.recording))
    @rule(index=PEERS, which=st.integers(0, 10_000))
    def somebody_plays_a_recording(self, index: int, which: int) -> None:
        recording = self.fleet.recording
        source, data = recording[which % len(recording)]
        self.fleet.deliver(source, self.peer(index).index, data)

    def know_all(self, index: int) -> None:
        for other in self.fleet.peers:
            if other.index != index:
                self.fleet.seed(index, other.index)

    @invariant()
    def nothing_goes_back(self) -> None:
        """I1 and I4: numbers only rise, and who left stays so unless he speaks again."""
        for peer in self.fleet.peers:
            for member in peer.core.members:
                gen, inc, state = member.standing
                key = (peer.index, peer.run, member.node)
                assert (gen, inc) >= self.highest.get(key, (0, 0))
                if (gen, inc) == self.highest.get(key) and (member.node, gen, inc) in self.left:
                    was_left = (*key, -1, gen) in self.versions
                    assert state is State.LEFT or not was_left
                if state is State.LEFT:
                    self.versions[(*key, -1, gen)] = inc
                self.highest[key] = (gen, inc)
                for section in SECTIONS:
                    version = member.facts.version_of(section)
                    assert version >= self.versions.get((*key, section, gen), 0)
                    self.versions[(*key, section, gen)] = version

    @invariant()
    def nobody_shows_what_its_owner_never_said(self) -> None:
        """I2. Whatever was ever called by a node's name is its owner here: its clones are too."""
        for peer in self.fleet.peers:
            self.machines[peer.core.own.node].add(peer.index)
        for peer in self.fleet.peers:
            for member in peer.core.members:
                for held in member.facts.since(0):
                    said = (member.node, member.standing.gen, held.section, held.sver)
                    assert held.content in self.fleet.published[said]
                load = peer.core.load_of(self.fleet.now_s, member.node)
                if load is not None and load.num_inflight:
                    assert self.load_tellers[load.num_inflight - 1] in self.machines[member.node]

    @invariant()
    def nothing_grows_without_bound(self) -> None:
        """I5 and I7."""
        assert self.fleet.largest_bytes <= 1200
        for peer in self.fleet.peers:
            size = size_of(peer.core)
            num_nodes = len(self.fleet.nodes)
            assert size.members <= num_nodes
            assert size.rumours <= num_nodes * (1 + len(SECTIONS))
            assert size.loads <= num_nodes
            assert size.pings <= 200 and size.tasks <= 800

    def teardown(self) -> None:
        """I3: some time after the last fault all live peers see each other, and agree."""
        if not hasattr(self, "fleet"):
            return
        fleet = self.fleet
        fleet.heal()
        fleet.network.loss = fleet.network.doubling = 0.0
        fleet.network.delay_s = (0.0005, 0.004)
        fleet.network.largest_bytes = MAX_DATAGRAM_BYTES
        for peer in fleet.peers:
            peer.stalled_until_s = fleet.now_s
            sealed_mail(peer).use(Keyring(KEYS[1]))
        fleet.run(1.0)
        fleet.run_until(lambda: fleet.all_see_all() and fleet.views_agree(), 90, step_s=1.0)
        assert fleet.all_see_all()
        assert fleet.views_agree()


FleetMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestFleet = FleetMachine.TestCase
