"""What hostile datagrams do to a peer in the middle of a fleet: nothing.

The traffic of a small fleet is captured, sealed as it travels. What is made of it without the key
must not change anything; what is said with the key, but by nobody or as nonsense, must stay small.
"""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace

import pytest

from bench.fleet.forging import captured, forged, nonsense
from bench.fleet.mail import SealedMail
from bench.fleet.simulator import Fleet, Peer, address_of
from cortex.peer.gossip.codec import pack
from cortex.peer.gossip.core import Core
from cortex.peer.gossip.envelope import Sealer, new_boot
from cortex.peer.gossip.receiving import Cause, Dropped
from cortex.peer.keys.fleet_key import new_fleet_key
from tests.fleet.stage import size_of

# Below what a peer looks into at all: what is above it is not even opened.
PER_S = 1500


def state_of(core: Core) -> object:
    """All that a peer believes."""
    return set(core.digest()), size_of(core), core.own.standing, core.own.node


def sealed_mail(peer: Peer) -> SealedMail:
    assert isinstance(peer.mail, SealedMail)
    return peer.mail


def bring(fleet: Fleet, datagram: bytes, at_s: float, source: int = 3) -> bool:
    """Let the first peer have it. True if it got past the seal."""
    victim = fleet.peers[0]
    got = sealed_mail(victim).open(at_s, f"10.9.{source}.1", datagram)
    if got is not None:
        victim.core.on_message(at_s, address_of(source), *got)
    return got is not None


@pytest.mark.parametrize("num_datagrams", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_forged_datagrams_change_nothing_and_leave_nothing(num_datagrams: int) -> None:
    fleet = captured(seed=1)
    sound = [data for _, data in fleet.recording]
    known = set(sound)
    core, mail = fleet.peers[0].core, sealed_mail(fleet.peers[0])
    before, rng = state_of(core), random.Random(2)
    mail.receiver.counts.clear()
    tracemalloc.start()
    for number in range(num_datagrams):
        datagram = forged(rng, sound)
        if datagram not in known:
            at_s = fleet.now_s + number / PER_S
            assert not bring(fleet, datagram, at_s, source=number % 250)
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert state_of(core) == before
    assert core.poll() == ([], [])
    assert mail.receiver.counts.total() > 0.95 * num_datagrams
    met = set(mail.receiver.counts)
    assert {Cause.LENGTH, Cause.MAGIC, Cause.VERSION, Cause.KEY, Cause.SEAL} <= met
    assert Cause.FLOOD not in met
    assert kept_bytes < 1_000_000


def test_a_peer_that_was_flooded_still_belongs_to_its_fleet() -> None:
    fleet = captured(seed=3)
    rng, sound = random.Random(4), [data for _, data in fleet.recording]
    for _ in range(100):
        for _ in range(100):
            fleet.deliver(3, 0, forged(rng, sound))
        fleet.run(0.1)
    fleet.publish(1, 3, b"news of one")
    fleet.run(5.0)
    member = fleet.peers[0].core.members.get(fleet.node(1))
    assert member is not None and member.facts.content(3) == b"news of one"
    assert fleet.all_see_all() and fleet.deaths_of_the_living() == 0


@pytest.mark.parametrize("is_restarted", [True, False])
def test_a_replayed_capture_tells_a_peer_nothing(is_restarted: bool) -> None:
    """Neither one that was of the fleet, nor one that holds the key and has met nobody."""
    fleet = captured(seed=5)
    capture = list(fleet.recording)
    fleet.kill(0)
    fleet.network.group = {0: 1}  # from now on only the recording reaches it
    if not is_restarted:
        fleet.peers[0].stored = replace(fleet.peers[0].stored, node=new_boot(fleet.rng.randbytes))
    fleet.restart(0)
    for source, datagram in capture:
        fleet.deliver(source, 0, datagram)
        fleet.run(0.02)
    core = fleet.peers[0].core
    assert len(core.members) == 0
    assert size_of(core).sessions == 0 and size_of(core).loads == 1
    assert core.own.gen == fleet.peers[0].stored.gen


def test_a_capture_played_again_to_who_heard_it_is_dropped_or_asked_who_it_is() -> None:
    fleet = captured(seed=6)
    before = set(fleet.peers[0].core.digest())
    replayed = [
        bring(fleet, data, fleet.now_s + n / 100) for n, (_, data) in enumerate(fleet.recording)
    ]
    assert len(replayed) > 100
    assert set(fleet.peers[0].core.digest()) == before


def test_the_same_traffic_under_another_key_is_not_even_opened() -> None:
    fleet, others = captured(seed=7), captured(seed=8)
    before = state_of(fleet.peers[0].core)
    mail = sealed_mail(fleet.peers[0])
    mail.receiver.counts.clear()
    assert not any(bring(fleet, data, fleet.now_s) for _, data in others.recording)
    assert set(mail.receiver.counts) == {Cause.KEY}
    assert state_of(fleet.peers[0].core) == before


def test_traffic_under_a_retired_key_changes_nothing_and_names_the_key() -> None:
    fleet = captured(seed=9)
    mail = sealed_mail(fleet.peers[0])
    old = mail.ring.primary
    new = new_fleet_key(random.Random(10).randbytes)
    mail.use(mail.ring.adding(new).using(new.key_id).dropping(old.key_id))
    before = state_of(fleet.peers[0].core)
    own_boot = fleet.peers[0].core.own.identity.boot
    for number, (source, data) in enumerate(fleet.recording):
        if source != 0 and data[6:14] != own_boot:
            got = mail.receiver.receive(fleet.now_s + number, "10.0.0.5", data)
            assert got == Dropped(Cause.RETIRED, old)
    assert state_of(fleet.peers[0].core) == before


@pytest.mark.parametrize("num_datagrams", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("is_known", [True, False])
def test_nonsense_under_the_right_key_raises_nothing_and_fills_nothing(
    num_datagrams: int, is_known: bool
) -> None:
    """Whoever holds the key may lie, but not break a peer, nor make it grow or shout."""
    fleet = captured(seed=11)
    assert fleet.ring is not None
    key, rng, victim = fleet.ring.primary, random.Random(12), fleet.peers[0]
    bodies = bodies_of(fleet)
    sealer = Sealer(new_boot(rng.randbytes), rng.randbytes)
    before, digest = size_of(victim.core), set(victim.core.digest())
    if is_known:
        fleet.peers[3].is_up = False
        sealer = sealed_mail(fleet.peers[3]).sealer
    num_sent = 0
    for number in range(num_datagrams):
        if not is_known and number % 7 == 0:
            sealer = Sealer(new_boot(rng.randbytes), rng.randbytes)
        at_s = fleet.now_s + number / 150
        bring(fleet, sealer.seal(key, nonsense(rng, bodies)), at_s)
        num_sent += len(victim.core.poll()[0])
        if number % 100 == 0:
            victim.core.on_timer(at_s)
    timing, size = fleet.timing, size_of(victim.core)
    assert num_sent < 3 * num_datagrams
    assert size.strangers <= timing.max_strangers and size.sessions <= before.sessions
    assert size.members <= timing.max_peers and size.pings <= 3 * timing.max_strangers
    if not is_known:
        assert {entry.node for entry in victim.core.digest()} == {entry.node for entry in digest}


def bodies_of(fleet: Fleet) -> list[bytes]:
    """What peers would say just now, unsealed."""
    bodies: list[bytes] = []
    for _ in range(40):
        for peer in fleet.peers[1:]:
            peer.core.on_timer(fleet.now_s)
            bodies += [pack(send.message) for send in peer.core.poll()[0]]
        fleet.now_s += 0.2
    return bodies
