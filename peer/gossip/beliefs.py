"""What one peer makes of what it hears: claims win or lose, doubts become verdicts.

Here a claim about a peer is merged, a claim about ourselves is refuted, and a suspicion starts,
is confirmed and runs out. Whether a claim comes from a fresh sender was decided before; how a
suspect is probed is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .desk import Desk
from .events import FactsChanged, MemberChanged
from .ids import NodeId
from .members import Member, Standing, State, expired
from .records import Alive, Contact, Dead, Fact, Left, Rumour, Section, Suspect
from .suspicion import Suspicion


@dataclass(frozen=True, slots=True)
class Hooks:
    """What others do when a belief changes."""

    last_chance: Callable[[float, Member], None]  # a suspicion has run out
    moved: Callable[[float, Member, Standing | None], None]  # a member took another standing
    refute: Callable[[float, int, int], None]  # somebody claims too much about ourselves
    outlive: Callable[[float, int], None]  # somebody else spoke as ourselves, of that generation
    behind: Callable[[float, Member], None]  # a member has written more than we know


class Beliefs:
    """The table of members, and the doubts about them."""

    def __init__(self, desk: Desk, hooks: Hooks) -> None:
        self._own = desk.own
        self._members = desk.members
        self._rumours = desk.rumours
        self._loads = desk.loads
        self._speaker = desk.speaker
        self._agenda = desk.agenda
        self._timing = desk.timing
        self._hooks = hooks
        self._suspicions: dict[NodeId, Suspicion] = {}

    @property
    def suspects(self) -> list[NodeId]:
        return list(self._suspicions)

    def hear(self, now_s: float, rumour: Rumour) -> None:
        """Take one rumour from a fresh sender."""
        if rumour.node == self._own.node:
            self._hear_of_ourselves(now_s, rumour)
        elif isinstance(rumour, Fact):
            self._hear_fact(rumour)
        elif isinstance(rumour, Alive):
            if self._is_old(rumour):
                return
            standing = Standing(rumour.gen, rumour.inc, State.ALIVE)
            self.claim(now_s, rumour.node, standing, contact=rumour.contact)
        elif isinstance(rumour, Left):
            self.claim(now_s, rumour.node, Standing(rumour.gen, rumour.inc, State.LEFT))
        else:
            state = State.SUSPECT if isinstance(rumour, Suspect) else State.DEAD
            standing = Standing(rumour.gen, rumour.inc, state)
            self.claim(now_s, rumour.node, standing, accuser=rumour.accuser)

    def claim(
        self,
        now_s: float,
        node: NodeId,
        standing: Standing,
        *,
        accuser: NodeId | None = None,
        contact: Contact | None = None,
    ) -> None:
        """Merge a claim about another peer, and pass it on if it was news."""
        member = self._members.get(node)
        before = member.standing if member else None
        if member is None:
            if len(self._members) >= self._timing.max_peers:
                return
            member = self._members.add(node, standing, now_s)
        elif standing.state is State.DEAD and self._vetoes(now_s, member, standing, accuser):
            assert accuser is not None
            self.claim(now_s, node, standing._replace(state=State.SUSPECT), accuser=accuser)
            self.accuse_to_its_face(now_s, member)
            return
        moved_in = contact is not None and self._members.take_address(member, standing[:2], contact)
        is_news = before is None or self._members.raise_to(member, standing, now_s)
        if contact is not None and member.standing.gen == standing.gen:
            self._hear_version(now_s, member, contact.ver)
        if is_news:
            self._has_moved(now_s, member, before, accuser or self._own.node)
        elif standing == before and standing.state is State.SUSPECT and accuser:
            self._confirm(member, accuser)
        elif moved_in and standing.state is State.ALIVE and standing == before:
            self._rumours.tell(self.verdict(member))

    def verdict(
        self, member: Member, accuser: NodeId | None = None
    ) -> Alive | Suspect | Dead | Left:
        """What we believe of a peer, as a rumour."""
        gen, inc, state = member.standing
        if state is State.LEFT:
            return Left(member.node, gen, inc)
        if state is State.ALIVE and member.published is not None:
            address = member.published
            ver = max(member.announced_ver, member.facts.complete)
            return Alive(member.node, gen, inc, Contact(address.ip, address.port, ver))
        kind = Dead if state is State.DEAD else Suspect
        return kind(member.node, gen, inc, accuser or self._own.node)

    def accuse_to_its_face(self, now_s: float, member: Member) -> bool:
        """Tell a peer what is said of it, so that it can refute; but not often."""
        address = member.reach
        if address is None or now_s - member.accused_s < self._timing.accusation_gap_s:
            return False
        member.accused_s = now_s
        self._speaker.gossip(address, first=(self.verdict(member),))
        return True

    def suspect(self, now_s: float, member: Member) -> None:
        """Our own probe of this peer has failed."""
        if member.standing.is_reachable:
            standing = member.standing._replace(state=State.SUSPECT)
            self.claim(now_s, member.node, standing, accuser=self._own.node)

    def reprieve(self, now_s: float, node: NodeId) -> None:
        """The suspect answered its last chance: it gets a little longer to refute."""
        suspicion = self._suspicions.get(node)
        if suspicion is not None:
            suspicion.reprieve_until(now_s + self._timing.reprieve_s)
            self._watch(node, suspicion)

    def condemn(self, now_s: float, member: Member) -> None:
        """The suspect let its last chance pass."""
        if member.node in self._suspicions:
            standing = member.standing._replace(state=State.DEAD)
            self.claim(now_s, member.node, standing, accuser=self._own.node)

    def postpone(self, until_s: float) -> None:
        """We slept: whoever seems silent may only not have been heard."""
        for node, suspicion in self._suspicions.items():
            suspicion.reprieve_until(until_s)
            self._watch(node, suspicion)

    def forget_tombstones(self, now_s: float) -> None:
        timing = self._timing
        for node in expired(
            self._members,
            now_s,
            dead_kept_s=timing.dead_kept_s,
            left_kept_s=timing.left_kept_s,
            max_tombstones=timing.max_tombstones,
        ):
            self._members.remove(node)
            self._rumours.drop(node)

    def merge_facts(self, member: Member, sections: tuple[Section, ...], complete: int) -> None:
        """Take what was missing of a peer's row, from a synchronisation."""
        if member.facts.merge_row(sections, complete):
            self._speaker.emit(FactsChanged(member.node))

    def _vetoes(
        self, now_s: float, member: Member, standing: Standing, accuser: NodeId | None
    ) -> bool:
        """A verdict against a peer that we heard ourselves just now is not believed."""
        heard_lately = now_s - member.heard_s < self._timing.veto_s
        is_hearsay = accuser is not None and accuser != self._own.node
        return heard_lately and is_hearsay and standing > member.standing

    def _has_moved(
        self, now_s: float, member: Member, before: Standing | None, accuser: NodeId
    ) -> None:
        after = member.standing
        if before is not None and after.gen > before.gen:
            self._rumours.drop(member.node)
            self._loads.forget(member.node)
        self._suspicions.pop(member.node, None)
        if after.state is State.SUSPECT:
            num_peers = self._members.num_reachable + 1
            suspicion = Suspicion(
                accuser,
                now_s,
                self._timing.suspicion_range_s(num_peers),
                self._timing.confirmations(num_peers),
            )
            self._suspicions[member.node] = suspicion
            self._watch(member.node, suspicion)
        elif not after.is_reachable:
            self._loads.forget(member.node)
        self._rumours.tell(self.verdict(member, accuser))
        self._speaker.emit(MemberChanged(member.node, after))
        self._hooks.moved(now_s, member, before)

    def _confirm(self, member: Member, accuser: NodeId) -> None:
        suspicion = self._suspicions[member.node]
        if suspicion.confirm(accuser):
            self._rumours.tell(self.verdict(member, accuser))
            self._watch(member.node, suspicion)

    def _watch(self, node: NodeId, suspicion: Suspicion) -> None:
        def expire(now_s: float) -> None:
            if self._suspicions.get(node) is not suspicion or suspicion.expires_s > now_s:
                return
            member = self._members.get(node)
            if member is not None and not suspicion.has_last_chance:
                suspicion.has_last_chance = True
                self._hooks.last_chance(now_s, member)

        self._agenda.at(suspicion.expires_s, expire)

    def _is_old(self, rumour: Alive) -> bool:
        """Whether this was heard before: most of what is heard was, and changes nothing."""
        member = self._members.get(rumour.node)
        return (
            member is not None
            and (rumour.gen, rumour.inc) <= member.published_at
            and rumour.contact.ver <= member.announced_ver
            and not member.misses_facts
        )

    def _hear_of_ourselves(self, now_s: float, rumour: Rumour) -> None:
        own = self._own
        if rumour.gen < own.gen:
            return
        if rumour.gen > own.gen or _told_version(rumour) > own.facts.complete:
            self._hooks.outlive(now_s, rumour.gen)
        elif not isinstance(rumour, Fact) and not own.has_left and self._must_refute(rumour):
            self._hooks.refute(now_s, rumour.gen, rumour.inc)

    def _must_refute(self, rumour: Alive | Suspect | Dead | Left) -> bool:
        if isinstance(rumour, Alive):
            return rumour.inc > self._own.standing.inc
        return rumour.inc >= self._own.standing.inc

    def _hear_version(self, now_s: float, member: Member, ver: int) -> None:
        """Before its claim is passed on, which says the same."""
        member.announced_ver = max(member.announced_ver, ver)
        if member.misses_facts:
            self._hooks.behind(now_s, member)

    def _hear_fact(self, fact: Fact) -> None:
        """A fact of a generation that is not known yet waits for the next synchronisation."""
        member = self._members.get(fact.node)
        if member is None or member.standing.gen != fact.gen:
            return
        if member.facts.merge(Section(fact.section, fact.sver, fact.content)):
            self._rumours.tell(fact)
            self._speaker.emit(FactsChanged(fact.node))


def _told_version(rumour: Rumour) -> int:
    """The newest write of its owner that this rumour knows of."""
    if isinstance(rumour, Fact):
        return rumour.sver
    return rumour.contact.ver if isinstance(rumour, Alive) else 0
