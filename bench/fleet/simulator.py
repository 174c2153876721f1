"""A whole fleet in virtual time: many cores, one queue of events, a network that can be broken.

Every run follows from its seed. Datagrams are packed and unpacked as they would travel, so sizes
are real; they may be lost, doubled, delayed, and cut off by size, partitions or one-way links. TCP
(the probes and synchronisations over HTTP) is lost less often, and never across a partition. A peer
can be killed, restarted, cloned, stalled and left; what it published is written down, so that a
test can ask whether anybody shows what nobody ever said.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cortex.peer.gossip.core import Core
from cortex.peer.gossip.envelope import MAX_DATAGRAM_BYTES
from cortex.peer.gossip.events import (
    Event,
    IdentityChanged,
    MemberChanged,
    Send,
    SyncDue,
    TcpPing,
)
from cortex.peer.gossip.identity import StoredNode, begun, next_stored
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.members import Standing, State
from cortex.peer.gossip.records import Address
from cortex.peer.gossip.timing import Timing
from cortex.peer.keys.keyring import Keyring

from .mail import Mail, OpenMail, SealedMail

IP_UDP_BYTES = 28
HTTP_BYTES = 700  # of headers and TLS for one synchronisation
START_S = 1_800_000_000


@dataclass
class Network:
    """How bad the network is; a test changes it while the fleet runs."""

    loss: float = 0.0
    doubling: float = 0.0
    delay_s: tuple[float, float] = (0.0005, 0.004)
    largest_bytes: int = MAX_DATAGRAM_BYTES  # what is larger does not get through
    group: dict[int, int] = field(default_factory=dict[int, int])  # partition of each peer
    one_way_cut: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def carries(self, source: int, target: int) -> bool:
        same = self.group.get(source, 0) == self.group.get(target, 0)
        return same and (source, target) not in self.one_way_cut


@dataclass
class Peer:
    """One machine: its core is replaced when it restarts, its state directory stays."""

    index: int
    core: Core
    mail: Mail
    stored: StoredNode
    clock_s: int = START_S  # what its wall clock said at the beginning
    is_up: bool = True
    stalled_until_s: float = 0.0
    run: int = 0
    timer_s: float | None = None
    changes: list[tuple[float, MemberChanged]] = field(
        default_factory=list[tuple[float, MemberChanged]]
    )
    events: Counter[str] = field(default_factory=Counter[str])


class Fleet:
    """The peers, their network and the time."""

    def __init__(
        self,
        num_peers: int,
        seed: int = 1,
        *,
        loss: float = 0.0,
        timing: Timing | None = None,
        is_met: bool = True,
        ring: Keyring | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.ring = ring
        self.timing = timing or Timing()
        self.network = Network(loss=loss)
        self.now_s = 0.0
        self.num_bytes = 0
        self.num_datagrams = 0
        self.largest_bytes = 0
        self.bytes_by_type: Counter[str] = Counter()
        # What was ever said in each section's version: a clone may say something else.
        self.published: defaultdict[tuple[NodeId, int, int, int], set[bytes]] = defaultdict(set)
        self.nodes: set[NodeId] = set()  # all that ever were
        self.recording: list[tuple[int, bytes]] = []  # what an eavesdropper kept
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self.peers: list[Peer] = []
        for index in range(num_peers):
            stored = next_stored(None, "", START_S, self.rng.randbytes)
            self.peers.append(Peer(index, *self._begun(index, stored), stored))
            self.publish(index, 1, f"peer {index}".encode())
            self._arm(self.peers[index])
        if is_met:
            self._introduce_everybody()

    def _introduce_everybody(self) -> None:
        """All know the first, and have had time to meet the rest."""
        loss, self.network.loss = self.network.loss, 0.0
        for peer in self.peers[1:]:
            self.seed(peer.index, 0)
        limit_s = self.now_s + 60
        while not self.all_see_all() and self.now_s < limit_s:
            self.run(0.5)
        assert self.all_see_all()
        self.run(5.0)
        self.network.loss = loss
        self.num_bytes = self.num_datagrams = 0

    # What a test does to the fleet.

    def seed(self, index: int, other: int) -> None:
        peer = self.peers[index]
        peer.core.add_seed(self.now_s, address_of(other))
        self._carry_out(peer)

    def publish(self, index: int, section: int, content: bytes) -> None:
        peer = self.peers[index]
        peer.core.publish(self.now_s, section, content)
        self._write_down(peer)
        self._carry_out(peer)

    def kill(self, index: int) -> None:
        self.peers[index].is_up = False

    def restart(self, index: int, *, seed: int | None = None) -> None:
        """A new process of the same node, which remembers one address."""
        peer = self.peers[index]
        clock_s = peer.clock_s + int(self.now_s)
        peer.stored = next_stored(peer.stored, "", clock_s, self.rng.randbytes)
        self._start_anew(peer)
        self.publish(index, 1, f"peer {index} again".encode())
        if seed is not None:
            self.seed(index, seed)

    def clone(self, index: int, source: int) -> None:
        """A machine whose state directory was copied: the same node, another process."""
        peer = self.peers[index]
        stored, clock_s = self.peers[source].stored, peer.clock_s + int(self.now_s)
        peer.stored = next_stored(stored, "", clock_s, self.rng.randbytes)
        self._start_anew(peer)

    def stall(self, index: int, seconds: float) -> None:
        """Nothing of this process runs: a GIL held, a SIGSTOP. What arrives waits in the socket."""
        self.peers[index].stalled_until_s = self.now_s + seconds

    def leave(self, index: int) -> None:
        peer = self.peers[index]
        peer.core.leave(self.now_s)
        self._carry_out(peer)
        self.at(0.1, lambda: self.kill(index))

    def split(self, first: set[int]) -> None:
        self.network.group = {p.index: int(p.index not in first) for p in self.peers}

    def heal(self) -> None:
        self.network.group = {}
        self.network.one_way_cut = set()

    # What a test sees of it.

    def state(self, observer: int, subject: int) -> State | None:
        member = self.peers[observer].core.members.get(self.node(subject))
        return member.standing.state if member else None

    def node(self, index: int) -> NodeId:
        return self.peers[index].core.own.node

    def live(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.is_up]

    def all_see_all(self) -> bool:
        """Every live peer holds every other live peer alive, in its present generation."""
        standings = {peer.core.own.node: peer.core.own.standing for peer in self.live()}
        return all(
            # Whoever knows too few does not know them all, which is told at once.
            peer.core.members.num_reachable >= len(standings) - 1 and _holds(peer.core, standings)
            for peer in self.live()
        )

    def views_agree(self) -> bool:
        """All live peers hold the same of everybody who is here, facts included. Newcomers are not
        told who has gone: of those, whoever holds anything holds the same.
        """
        digests = [peer.core.digest() for peer in self.live()]
        here = {frozenset(e for e in held if e.state <= State.SUSPECT) for held in digests}
        every = {entry for held in digests for entry in held}
        return len(here) <= 1 and len(every) == len({entry.node for entry in every})

    def deaths_of_the_living(self) -> int:
        """How often a live peer was called dead by the peer that decided it, since it restarted."""
        nodes = {peer.core.own.node for peer in self.live()}
        verdicts = {
            (change.node, change.after)
            for peer in self.live()
            for _, change in peer.changes
            if change.after.state is State.DEAD and change.node in nodes
        }
        return len(verdicts)

    def times_of(self, subject: int, state: State, since_s: float) -> dict[int, float]:
        """When each live peer first held this of the subject, in seconds after `since_s`."""
        times: dict[int, float] = {}
        for peer in self.live():
            for at_s, change in peer.changes:
                is_it = change.node == self.node(subject) and change.after.state is state
                if is_it and at_s >= since_s:
                    times.setdefault(peer.index, at_s - since_s)
        return times

    # The machinery.

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now_s + delay_s, self._order, action))

    def run(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        queue = self._queue
        while queue and queue[0][0] <= until_s:
            self.now_s, _, action = heapq.heappop(queue)
            action()
        self.now_s = until_s

    def run_until(self, is_done: Callable[[], bool], limit_s: float, step_s: float = 0.1) -> float:
        """How long it took; the limit plus one step where it did not happen."""
        started_s = self.now_s
        while not is_done():
            if self.now_s - started_s > limit_s:
                return self.now_s - started_s
            self.run(step_s)
        return self.now_s - started_s

    def _begun(self, index: int, stored: StoredNode) -> tuple[Core, Mail]:
        """A run of that node, and how it writes."""
        identity = begun(stored, self.rng.randbytes)
        rng = random.Random(self.rng.random())
        core = Core(identity, address_of(index), self.now_s, rng, self.timing)
        if self.ring is None:
            return core, OpenMail(identity.boot)
        return core, SealedMail(identity.boot, self.ring, self.now_s, rng)

    def _start_anew(self, peer: Peer) -> None:
        peer.run += 1
        peer.is_up, peer.stalled_until_s, peer.timer_s = True, 0.0, None
        peer.core, peer.mail = self._begun(peer.index, peer.stored)
        self._arm(peer)

    def _write_down(self, peer: Peer) -> None:
        own = peer.core.own
        self.nodes.add(own.node)
        for held in own.facts.since(0):
            self.published[own.node, own.gen, held.section, held.sver].add(held.content)

    def _arm(self, peer: Peer) -> None:
        """Enter the peer's next timer, unless an earlier one is entered already."""
        due_s = peer.core.next_s
        if due_s is None or (peer.timer_s is not None and peer.timer_s <= due_s):
            return
        peer.timer_s = due_s
        run = peer.run

        def fire() -> None:
            if peer.run == run and peer.timer_s == due_s:
                peer.timer_s = None
                self._awake(peer, lambda: peer.core.on_timer(self.now_s))

        self.at(max(0.0, due_s - self.now_s), fire)

    def _awake(self, peer: Peer, action: Callable[[], None]) -> None:
        """Let the peer act now, or when its stall is over; a dead one never does."""
        if not peer.is_up:
            return
        if peer.stalled_until_s > self.now_s:
            run = peer.run
            delay_s = peer.stalled_until_s - self.now_s + self.rng.random() * 0.01
            self.at(delay_s, lambda: self._awake(peer, action) if peer.run == run else None)
            return
        action()
        self._carry_out(peer)

    def _carry_out(self, peer: Peer) -> None:
        sends, events = peer.core.poll()
        for event in events:
            self._on_event(peer, event)
        for send in sends:
            self._transmit(peer, send)
        self._arm(peer)

    def _transmit(self, peer: Peer, send: Send) -> None:
        data = peer.mail.close(send.message)
        size = len(data)
        self.num_datagrams += 1
        self.num_bytes += size + IP_UDP_BYTES
        self.bytes_by_type[type(send.message).__name__] += size + IP_UDP_BYTES
        self.largest_bytes = max(self.largest_bytes, size)
        if self.num_datagrams % 7 == 0 and len(self.recording) < 1000:
            self.recording.append((peer.index, data))
        target = send.address.port - 1
        if target >= len(self.peers) or not self.network.carries(peer.index, target):
            return
        if size > self.network.largest_bytes:
            return
        copies = 2 if self.rng.random() < self.network.doubling else 1
        for _ in range(copies):
            if self.rng.random() < self.network.loss:
                continue
            delay_s = self.rng.uniform(*self.network.delay_s)
            self.at(delay_s, lambda: self.deliver(peer.index, target, data))

    def deliver(self, source: int, target: int, data: bytes) -> None:
        receiver = self.peers[target]
        run = receiver.run

        def hear() -> None:
            got = receiver.mail.open(self.now_s, str(source), data) if receiver.run == run else None
            if got is not None:
                receiver.core.on_message(self.now_s, address_of(source), *got)

        self._awake(receiver, hear)

    def _on_event(self, peer: Peer, event: Event) -> None:
        peer.events[type(event).__name__] += 1
        if isinstance(event, MemberChanged):
            peer.changes.append((self.now_s, event))
        elif isinstance(event, IdentityChanged):
            peer.stored = replace(peer.stored, node=event.node, gen=event.gen)
            self._write_down(peer)
        elif isinstance(event, TcpPing):
            ticket, core = event.ticket, peer.core
            self._over_tcp(peer, event, lambda _: core.on_tcp_answer(ticket))
        elif isinstance(event, SyncDue):
            core, digest = peer.core, peer.core.digest()
            self.num_bytes += HTTP_BYTES + 19 * len(digest)
            self._over_tcp(peer, event, lambda other: self._sync(core, other.core))

    def _sync(self, asker: Core, asked: Core) -> None:
        rows, wants = asked.answer_sync(asker.digest())
        asker.on_rows(self.now_s, asked.own.node, rows)
        asked.on_rows(self.now_s, asker.own.node, asker.wanted_rows(wants))

    def _over_tcp(
        self, peer: Peer, event: TcpPing | SyncDue, action: Callable[[Peer], None]
    ) -> None:
        """TCP is not the better network: it fails where a datagram there or back would be lost.

        Whoever answers must be who was meant, as its certificate would show.
        """
        other = self.peers[event.address.port - 1]
        fails = self.rng.random() < 1 - (1 - self.network.loss) ** 2
        both_ways = self.network.carries(peer.index, other.index)
        both_ways = both_ways and self.network.carries(other.index, peer.index)
        if fails or not both_ways:
            return
        run, other_run = peer.run, other.run

        def answered() -> None:
            are_same = (peer.run, other.run) == (run, other_run) and peer.is_up and other.is_up
            are_awake = max(peer.stalled_until_s, other.stalled_until_s) <= self.now_s
            if are_same and are_awake and other.core.own.node == event.node:
                action(other)
                self._carry_out(peer)
                self._carry_out(other)

        self.at(2 * self.rng.uniform(*self.network.delay_s), answered)


def _holds(core: Core, standings: Mapping[NodeId, Standing]) -> bool:
    for node, standing in standings.items():
        if node != core.own.node:
            member = core.members.get(node)
            if member is None or member.standing != standing:
                return False
    return True


def address_of(index: int) -> Address:
    """The simulator finds a peer by its port."""
    return Address("10.0.0.1", 1 + index)
