"""Who is asked next whether it is there, and what becomes of the answer.

A probe is a few pings, then the same through others and over TCP, then a verdict that goes to
`Beliefs`. Suspects are asked again each round, with the accusation at the head of the packet, so
that they can refute it. Who is believed to be what is not decided here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from .beliefs import Beliefs
from .desk import Desk
from .events import TcpPing
from .ids import NodeId
from .members import Member, Members, State
from .messages import Ack, Target
from .pings import PongHandler
from .records import Rumour

SMOOTHING = 0.1


@dataclass(slots=True)
class Probe:
    """One question to one peer, by all ways there are."""

    node: NodeId
    ends_s: float
    num_pings: int = 0
    is_answered: bool = False
    num_relays: int = 0
    num_nacks: int = 0
    tickets: list[int] = field(default_factory=list[int])


class ProbeOrder:
    """Round robin over a shuffled list: nobody is forgotten, and nobody can foresee his turn."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._order: list[NodeId] = []
        self._position = 0

    def insert(self, node: NodeId) -> None:
        """A newcomer takes a random place, so that it is not asked by all at once."""
        if node not in self._order:
            self._order.insert(self._rng.randint(0, len(self._order)), node)

    def next(self, members: Members) -> Member | None:
        """The next peer that is believed alive; whoever is gone drops out on the way."""
        for _ in range(len(self._order) + 1):
            if self._position >= len(self._order):
                self._rng.shuffle(self._order)
                self._position = 0
                if not self._order:
                    return None
            member = members.get(self._order[self._position])
            if member is None or not member.standing.is_reachable:
                del self._order[self._position]
                continue
            self._position += 1
            if member.standing.state is State.ALIVE and member.can_be_asked:
                return member
        return None


class Prober:
    """The probes that are under way."""

    def __init__(self, desk: Desk, beliefs: Beliefs) -> None:
        self._members = desk.members
        self._beliefs = beliefs
        self._pings = desk.pings
        self._speaker = desk.speaker
        self._health = desk.health
        self._agenda = desk.agenda
        self._timing = desk.timing
        self._rng = desk.rng
        self.order = ProbeOrder(desk.rng)
        self._by_ticket: dict[int, Probe] = {}
        self._doubted: set[NodeId] = set()
        self.lenient_until_s = float("-inf")  # we slept: nobody is accused until then

    def round(self, now_s: float) -> None:
        """Ask the suspects and the next peer in turn, and enter the next round."""
        timing = self._timing
        interval_s = self._health.stretch(timing.probe_period_s)
        self._agenda.at(now_s + interval_s, self.round)
        suspects = self._beliefs.suspects
        picked = self._rng.sample(suspects, min(len(suspects), timing.suspects_per_round))
        for node in picked:
            member = self._members.get(node)
            if member is not None:
                self._probe(now_s, member, interval_s)
        if (member := self.order.next(self._members)) is not None:
            self._probe(now_s, member, interval_s)

    def last_chance(self, now_s: float, member: Member) -> None:
        """Ask a suspect once more before it is called dead."""
        probe = self._ask_by_all_ways(now_s, member, self._timing.last_chance_s)

        def judge(at_s: float) -> None:
            self._close(probe)
            if probe.is_answered or member.heard_s >= now_s:
                self._beliefs.reprieve(at_s, probe.node)
            else:
                self._beliefs.condemn(at_s, member)

        self._agenda.at(probe.ends_s, judge)

    def doubt(self, now_s: float, member: Member) -> None:
        """Ask directly, by all ways, and accuse without asking others first."""
        if member.node in self._doubted:
            return
        self._doubted.add(member.node)
        probe = self._ask_by_all_ways(now_s, member, self._patience_s(member))

        def judge(at_s: float) -> None:
            self._doubted.discard(probe.node)
            self._judge(at_s, probe)

        self._agenda.at(probe.ends_s, judge)

    def on_answer(self, ticket: int) -> None:
        """It answered a helper, or over TCP."""
        if (probe := self._by_ticket.get(ticket)) is not None:
            probe.is_answered = True

    def on_nack(self, ticket: int) -> None:
        """A helper had no answer either."""
        if (probe := self._by_ticket.get(ticket)) is not None:
            probe.num_nacks += 1

    def _probe(self, now_s: float, member: Member, interval_s: float) -> None:
        timing = self._timing
        probe = Probe(member.node, now_s + interval_s)
        if per_packet(member.loss) > timing.lossy_above:
            self._ask(now_s, probe, timing.lossy_direct_pings, timing.lossy_ping_gap_s)
        else:
            self._ask(now_s, probe, timing.direct_pings, timing.ping_gap_s)
        patience_s = min(self._patience_s(member), 0.75 * interval_s)
        self._agenda.at(now_s + patience_s, lambda at_s: self._ask_others(probe))
        self._agenda.at(probe.ends_s, lambda at_s: self._judge(at_s, probe))

    def _patience_s(self, member: Member) -> float:
        return max(self._timing.direct_timeout_s, 0.3 + 3 * (member.rtt_s or 0.0))

    def _ask_by_all_ways(self, now_s: float, member: Member, limit_s: float) -> Probe:
        probe = Probe(member.node, now_s + limit_s)
        self._ask(now_s, probe, self._timing.direct_pings, self._timing.ping_gap_s)
        self._ask_over_tcp(probe)
        return probe

    def _ask(self, now_s: float, probe: Probe, num_pings: int, gap_s: float) -> None:
        """Ping now, and again in a while unless an answer has come."""
        member = self._members.get(probe.node)
        if probe.is_answered or member is None or member.reach is None:
            return
        accused = member.standing.state is State.SUSPECT
        first: tuple[Rumour, ...] = (self._beliefs.verdict(member),) if accused else ()
        index = probe.num_pings
        probe.num_pings += 1
        on_pong = self._on_pong(now_s, probe, index)
        self._pings.ping(member.reach, member.node, probe.ends_s, first, on_pong)
        if num_pings > 1:
            self._agenda.at(
                now_s + gap_s, lambda at_s: self._ask(at_s, probe, num_pings - 1, gap_s)
            )

    def _on_pong(self, sent_s: float, probe: Probe, index: int) -> PongHandler:
        def on_pong(now_s: float, ack: Ack) -> None:
            member = self._members.get(probe.node)
            if ack.node == probe.node and member is not None:
                if not probe.is_answered:
                    member.loss = smoothed(member.loss, index / (index + 1), index + 1)
                probe.is_answered = True
                rtt_s = now_s - sent_s
                member.rtt_s = rtt_s if member.rtt_s is None else smoothed(member.rtt_s, rtt_s, 1)

        return on_pong

    def _ask_others(self, probe: Probe) -> None:
        member = self._members.get(probe.node)
        if probe.is_answered or member is None or member.reach is None:
            return
        helpers = [
            other
            for other in self._members.reachable()
            if other.node != probe.node and other.standing.state is State.ALIVE
        ]
        target = Target(member.node, member.reach.ip, member.reach.port)
        for helper in self._rng.sample(helpers, min(len(helpers), self._timing.num_relays)):
            assert helper.reach is not None
            self._speaker.ping_request(helper.reach, self._ticket(probe), target)
            probe.num_relays += 1
        self._ask_over_tcp(probe)

    def _ask_over_tcp(self, probe: Probe) -> None:
        member = self._members.get(probe.node)
        if member is not None and member.reach is not None:
            self._speaker.emit(TcpPing(member.node, member.reach, self._ticket(probe)))

    def _judge(self, now_s: float, probe: Probe) -> None:
        self._close(probe)
        member = self._members.get(probe.node)
        if probe.is_answered:
            self._health.credit()
        elif member is not None and now_s >= self.lenient_until_s:
            if probe.num_relays and not probe.num_nacks:
                self._health.blame()
            self._beliefs.suspect(now_s, member)

    def _ticket(self, probe: Probe) -> int:
        ticket = self._pings.next_seq()
        probe.tickets.append(ticket)
        self._by_ticket[ticket] = probe
        return ticket

    def _close(self, probe: Probe) -> None:
        for ticket in probe.tickets:
            del self._by_ticket[ticket]


def smoothed(before: float, sample: float, weight: int) -> float:
    """A moving average; a sample that stands for several things moves it several times."""
    keep = (1 - SMOOTHING) ** weight
    return before * keep + sample * (1 - keep)


def per_packet(loss: float) -> float:
    """The loss of one way, from the loss of a question and its answer together."""
    return 1 - (1 - loss) ** 0.5
