"""Who is in the fleet, as one peer believes it, and which of two claims about a peer wins.

A claim is (generation, incarnation, state), and the greater one wins: a restart beats everything
said of the process before it, a refutation beats the accusation it answers, and at equal numbers
the worse news wins. That is a total order, so claims may come twice and in any order and every
peer ends with the same belief. This file knows no clock but the one it is told, and no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .facts import Facts
from .ids import NodeId
from .records import Address, Contact, State


class Standing(NamedTuple):
    """One claim about a peer. Tuples compare field by field, which is the rule of precedence."""

    gen: int
    inc: int
    state: State

    @property
    def is_reachable(self) -> bool:
        """True while the peer is worth sending to."""
        return self.state <= State.SUSPECT


@dataclass(slots=True)
class Member:
    """What is believed of one peer, where it is, and when it was last heard."""

    node: NodeId
    standing: Standing
    since_s: float  # when it took its present state
    gen_since_s: float  # when its present generation was first heard of here
    published: Address | None = None  # its own word, at `published_at`
    published_at: tuple[int, int] = (-1, -1)  # generation and incarnation
    announced_ver: int = 0  # how often it wrote its facts, as its own claim says
    facts: Facts = field(default_factory=Facts)
    heard_from: Address | None = None  # where its last fresh packet came from
    heard_s: float = float("-inf")
    accused_s: float = float("-inf")  # when it was last told what is said of it
    rtt_s: float | None = None
    loss: float = 0.0  # of pings and their acks together, as its probes show

    @property
    def reach(self) -> Address | None:
        """Where to send: seen beats said, for a peer behind NAT does not know its address."""
        return self.heard_from or self.published

    @property
    def misses_facts(self) -> bool:
        """Whether it has written more than has come here, by its own word."""
        return self.announced_ver > self.facts.complete

    @property
    def can_be_asked(self) -> bool:
        return self.standing.is_reachable and self.reach is not None


class Members:
    """The table of all peers but oneself, tombstones included. Standings and addresses are changed
    by its methods alone: it keeps the list of those who can be asked, which is wanted all the time.
    """

    def __init__(self) -> None:
        self._members: dict[NodeId, Member] = {}
        self._reachable: list[Member] | None = None
        self.num_reachable = 0

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def get(self, node: NodeId) -> Member | None:
        return self._members.get(node)

    def add(self, node: NodeId, standing: Standing, now_s: float) -> Member:
        assert node not in self._members
        member = Member(node, standing, since_s=now_s, gen_since_s=now_s)
        self._members[node] = member
        self._reachable = None
        self.num_reachable += standing.is_reachable
        return member

    def remove(self, node: NodeId) -> None:
        self._reachable = None
        self.num_reachable -= self._members.pop(node).standing.is_reachable

    def raise_to(self, member: Member, standing: Standing, now_s: float) -> bool:
        """Take a claim if it wins. A new generation forgets all that the old one published."""
        held = member.standing
        if standing <= held:
            return False
        if standing.gen > held.gen or standing.is_reachable != held.is_reachable:
            self._reachable = None
        self.num_reachable += standing.is_reachable - held.is_reachable
        member.standing = standing
        if standing.state is not held.state:
            member.since_s = now_s
        if standing.gen > held.gen:
            member.gen_since_s = now_s
            member.facts = Facts()
            member.announced_ver = 0
            member.heard_from = None
            member.heard_s = float("-inf")
        return True

    def reachable(self) -> Sequence[Member]:
        """Those who can be asked."""
        if self._reachable is None:
            self._reachable = [each for each in self._members.values() if each.can_be_asked]
        return self._reachable

    def note_heard(self, member: Member, address: Address, now_s: float) -> None:
        """It has just spoken, from there."""
        if member.reach is None:
            self._reachable = None
        member.heard_from, member.heard_s = address, now_s

    def take_address(self, member: Member, at: tuple[int, int], contact: Contact) -> bool:
        """Take the newest address that the peer itself published, in whatever order they come."""
        if at <= member.published_at:
            return False
        if member.reach is None:
            self._reachable = None
        member.published, member.published_at = Address(contact.ip, contact.port), at
        return True


def expired(
    members: Iterable[Member],
    now_s: float,
    *,
    dead_kept_s: float,
    left_kept_s: float,
    max_tombstones: int,
) -> list[NodeId]:
    """The tombstones that may go: too old, or the oldest of too many."""
    kept_s = {State.DEAD: dead_kept_s, State.LEFT: left_kept_s}
    gone = [member for member in members if not member.standing.is_reachable]
    old = {m.node for m in gone if now_s - m.since_s > kept_s[m.standing.state]}
    young = sorted((m for m in gone if m.node not in old), key=lambda m: (m.since_s, m.node))
    surplus = max(0, len(young) - max_tombstones)
    return [*old, *(member.node for member in young[:surplus])]
