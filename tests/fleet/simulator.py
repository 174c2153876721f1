"""A whole fleet in virtual time: many cores, one queue of events, a network that can be broken.

Every run follows from its seed. Datagrams are packed and unpacked as they would travel, so sizes
are real; they may be lost, doubled, delayed, and cut off by partitions or one-way links. TCP (the
probes and synchronisations over HTTP) is lost less often, and never across a partition. A peer
can be killed, restarted, stalled and left; what it published is written down, so that a test can
ask whether anybody shows what nobody ever said.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cortex.peer.gossip.codec import pack, unpack
from cortex.peer.gossip.core import Core
from cortex.peer.gossip.events import Event, MemberChanged, Send, SyncDue, TcpPing
from cortex.peer.gossip.identity import Identity
from cortex.peer.gossip.ids import BootId, NodeId
from cortex.peer.gossip.members import State
from cortex.peer.gossip.messages import Versions
from cortex.peer.gossip.records import Address
from cortex.peer.gossip.timing import Timing

ENVELOPE_BYTES = 42
IP_UDP_BYTES = 28
HTTP_BYTES = 700  # of headers and TLS for one synchronisation


@dataclass
class Network:
    """How bad the network is; a test changes it while the fleet runs."""

    loss: float = 0.0
    doubling: float = 0.0
    delay_s: tuple[float, float] = (0.0005, 0.004)
    group: dict[int, int] = field(default_factory=dict[int, int])  # partition of each peer
    one_way_cut: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def carries(self, source: int, target: int) -> bool:
        same = self.group.get(source, 0) == self.group.get(target, 0)
        return same and (source, target) not in self.one_way_cut


@dataclass
class Peer:
    """One machine: its core is replaced when it restarts, its stored identity stays."""

    index: int
    core: Core
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
    ) -> None:
        self.rng = random.Random(seed)
        self.timing = timing or Timing()
        self.network = Network(loss=loss)
        self.now_s = 0.0
        self.num_bytes = 0
        self.num_datagrams = 0
        self.largest_bytes = 0
        self.bytes_by_type: Counter[str] = Counter()
        self.published: dict[tuple[NodeId, int, int, int], bytes] = {}
        self.recording: list[tuple[int, BootId, bytes]] = []  # what an eavesdropper kept
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self.peers = [Peer(index, self._new_core(index, 1)) for index in range(num_peers)]
        for peer in self.peers:
            self.publish(peer.index, 1, f"peer {peer.index}".encode())
            self._arm(peer)
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
        core = self.peers[index].core
        core.publish(self.now_s, section, content)
        version = core.own.facts.version_of(section)
        self.published[core.own.node, core.own.gen, section, version] = content
        self._carry_out(self.peers[index])

    def kill(self, index: int) -> None:
        self.peers[index].is_up = False

    def restart(self, index: int, *, seed: int | None = None) -> None:
        """A new process of the same node, which remembers one address."""
        peer = self.peers[index]
        gen = peer.core.own.gen + 1
        node = peer.core.own.node
        peer.run += 1
        peer.is_up, peer.stalled_until_s = True, 0.0
        peer.core = self._new_core(index, gen, node)
        self.publish(index, 1, f"peer {index} again".encode())
        if seed is not None:
            self.seed(index, seed)
        peer.timer_s = None
        self._arm(peer)

    def clone(self, index: int, source: int) -> None:
        """A machine whose state directory was copied: the same node, another process."""
        original = self.peers[source].core.own
        peer = self.peers[index]
        peer.run += 1
        peer.core = self._new_core(index, original.gen, original.node)
        peer.timer_s = None
        self._arm(peer)

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
        live = self.live()
        for peer in live:
            for other in live:
                if other is not peer:
                    member = peer.core.members.get(other.core.own.node)
                    if member is None or member.standing != other.core.own.standing:
                        return False
        return True

    def views_agree(self) -> bool:
        """All live peers hold the same of everybody, facts included."""
        return len({frozenset(peer.core.digest()) for peer in self.live()}) <= 1

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

    def _new_core(self, index: int, gen: int, node: NodeId | None = None) -> Core:
        identity = Identity(
            node or NodeId(self.rng.randbytes(8)), BootId(self.rng.randbytes(8)), gen
        )
        rng = random.Random(self.rng.random())
        return Core(identity, address_of(index), self.now_s, rng, self.timing, Versions(1, 1))

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
        data = pack(send.message)
        size = len(data) + ENVELOPE_BYTES
        self.num_datagrams += 1
        self.num_bytes += size + IP_UDP_BYTES
        self.bytes_by_type[type(send.message).__name__] += size + IP_UDP_BYTES
        self.largest_bytes = max(self.largest_bytes, size)
        if self.num_datagrams % 7 == 0 and len(self.recording) < 1000:
            self.recording.append((peer.index, peer.core.own.identity.boot, data))
        target = send.address.port - 1
        if target >= len(self.peers) or not self.network.carries(peer.index, target):
            return
        copies = 2 if self.rng.random() < self.network.doubling else 1
        boot = peer.core.own.identity.boot
        for _ in range(copies):
            if self.rng.random() < self.network.loss:
                continue
            delay_s = self.rng.uniform(*self.network.delay_s)
            self.at(delay_s, lambda: self.deliver(peer.index, target, boot, data))

    def deliver(self, source: int, target: int, boot: BootId, data: bytes) -> None:
        receiver = self.peers[target]
        message = unpack(data)
        run = receiver.run

        def hear() -> None:
            if receiver.run == run:
                receiver.core.on_message(self.now_s, address_of(source), boot, message)

        self._awake(receiver, hear)

    def _on_event(self, peer: Peer, event: Event) -> None:
        peer.events[type(event).__name__] += 1
        if isinstance(event, MemberChanged):
            peer.changes.append((self.now_s, event))
        elif isinstance(event, TcpPing):
            ticket, core = event.ticket, peer.core
            self._over_tcp(peer, event.address, lambda _: core.on_tcp_answer(ticket))
        elif isinstance(event, SyncDue):
            core, digest = peer.core, peer.core.digest()
            self.num_bytes += HTTP_BYTES + 19 * len(digest)
            self._over_tcp(peer, event.address, lambda other: self._sync(core, other.core))

    def _sync(self, asker: Core, asked: Core) -> None:
        answer = asked.answer_sync(asker.digest())
        asker.on_rows(self.now_s, asked.own.node, answer.rows)
        asked.on_rows(self.now_s, asker.own.node, asker.wanted_rows(answer.wants))

    def _over_tcp(self, peer: Peer, address: Address, action: Callable[[Peer], None]) -> None:
        """TCP is not the better network: it fails where a datagram there or back would be lost."""
        other = self.peers[address.port - 1]
        fails = self.rng.random() < 1 - (1 - self.network.loss) ** 2
        both_ways = self.network.carries(peer.index, other.index)
        both_ways = both_ways and self.network.carries(other.index, peer.index)
        if fails or not both_ways:
            return
        run, other_run = peer.run, other.run

        def answered() -> None:
            are_same = (peer.run, other.run) == (run, other_run) and peer.is_up and other.is_up
            if are_same and max(peer.stalled_until_s, other.stalled_until_s) <= self.now_s:
                action(other)
                self._carry_out(peer)
                self._carry_out(other)

        self.at(2 * self.rng.uniform(*self.network.delay_s), answered)


def address_of(index: int) -> Address:
    """The simulator finds a peer by its port."""
    return Address("10.0.0.1", 1 + index)
