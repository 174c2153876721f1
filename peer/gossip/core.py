"""One peer's part in the fleet's conversation: messages and time in, messages and events out.

SWIM with Lifeguard's refinements. The core has no socket, no clock and no luck of its own: the
caller brings what has arrived and what time it is, calls again at `next_s`, and carries out what
`poll` gives. What datagrams look like, and which key sealed them, is known below; what the facts
and loads mean is known above.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from . import syncing
from .beliefs import Beliefs, Hooks
from .desk import Desk
from .events import Event, IdentityChanged, Resumed, Send
from .gossiping import Gossiper
from .hearing import Hearing
from .identity import Doubles, Identity, refuted
from .ids import ID_BYTES, BootId, ModelId, NodeId
from .members import Member, Members, Standing, State
from .messages import SPOKEN, LoadAnswer, LoadQuestion, Message, Verdict, Versions
from .own import Own
from .probing import Prober
from .records import Address, Digest, Fact, LoadRecord, Row
from .seeking import Seeker
from .synchronising import Synchroniser
from .timing import Timing

UNKNOWN_BOOT = b"\xff" * ID_BYTES
TOMBSTONE_ROUND_S = 60.0
# After a stall, what others sent meanwhile is read before anybody is judged.
READING_S = 0.1


class Core:
    """A member of the fleet, without its network."""

    def __init__(
        self,
        identity: Identity,
        address: Address,
        now_s: float,
        rng: random.Random,
        timing: Timing | None = None,
        versions: Versions = SPOKEN,
    ) -> None:
        self.desk = Desk(Own(identity, address), rng, timing or Timing(), versions)
        self._beliefs = Beliefs(
            self.desk,
            Hooks(
                last_chance=lambda at_s, member: self._prober.last_chance(at_s, member),
                moved=self._on_moved,
                refute=self._refute,
                outlive=self._outlive,
                behind=lambda at_s, member: self._synchroniser.fill_gap(at_s, member),
            ),
        )
        self._prober = Prober(self.desk, self._beliefs)
        self._gossiper = Gossiper(self.desk)
        self._synchroniser = Synchroniser(self.desk)
        self._seeker = Seeker(self.desk, self._beliefs)
        self._hearing = Hearing(self.desk, self._beliefs, self._prober, self._gossiper)
        self._doubles = Doubles()
        self._has_synced = False
        self._reading_until_s = float("-inf")
        self._lag_seen_of_s: float | None = None
        self._start(now_s)

    @property
    def own(self) -> Own:
        return self.desk.own

    @property
    def members(self) -> Members:
        return self.desk.members

    @property
    def next_s(self) -> float | None:
        """When `on_timer` is due."""
        due_s = self.desk.agenda.next_s
        return None if due_s is None else max(due_s, self._reading_until_s)

    def on_message(self, now_s: float, address: Address, boot: BootId, message: Message) -> None:
        """Take one message that `boot` sealed with the fleet's key and sent from `address`."""
        self._notice_lag(now_s)
        own = self.own
        if message.node == own.node:
            meet = self._doubles.meet
            identity = meet(now_s, own.identity, boot, message.gen, self.desk.rng.randbytes)
            self._become(now_s, identity, "another process speaks as our node")
            self._hearing.answer_double(now_s, address, boot, message)
        elif self._hearing.hear(now_s, address, boot, message) and not self._has_synced:
            self._synchroniser.out_of_turn(now_s, message.node)
        self._gossiper.wake(now_s)

    def end_session(self, boot: BootId) -> None:
        """Which of its datagrams came before is forgotten: recordings of them might come now."""
        self.desk.sessions.end(boot)

    def was_silent(self, now_s: float, silent_s: float) -> bool:
        """We were, for so long: whether that is long enough to matter. A machine that sleeps stops
        the clock that timers go by: then whoever sees that says so.
        """
        timing = self.desk.timing
        if silent_s <= timing.lag_s:
            return False
        self.desk.health.blame()
        self._reading_until_s = now_s + READING_S
        if silent_s > timing.suspend_periods * timing.probe_period_s:
            self._resume(now_s, silent_s)
        return True

    def on_timer(self, now_s: float) -> None:
        """Do what has become due; after a stall a moment later, when what came has been read."""
        self._notice_lag(now_s)
        if now_s < self._reading_until_s:
            return
        while (task := self.desk.agenda.pop_due(now_s)) is not None:
            task(now_s)
        self._gossiper.wake(now_s)

    def on_tcp_answer(self, ticket: int) -> None:
        """The peer of a `TcpPing` has answered."""
        self._prober.on_answer(ticket)

    def poll(self) -> tuple[list[Send], list[Event]]:
        """What to send and what happened since the last call; events go first."""
        return self.desk.speaker.poll()

    def suggest(self, now_s: float, address: Address) -> None:
        """Somebody may be at this address: ask once."""
        self._seeker.introduce(now_s, address)

    def add_seed(self, now_s: float, address: Address) -> None:
        """Somebody of ours ought to be at this address: ask for ever, if ever more seldom."""
        self._seeker.add_seed(now_s, address)

    def drop_seed(self, address: Address) -> None:
        """Nobody says so any more: who is there is known by now, or not sought."""
        self._seeker.drop_seed(address)

    def seek_anew(self, now_s: float) -> None:
        """We are in another network, or it is there again: who was not found may be found now."""
        self._seeker.begin_anew(now_s)

    def doubt(self, now_s: float, node: NodeId) -> None:
        """Somebody had no luck with this peer: ask it at once, and judge it soon."""
        member = self.members.get(node)
        if member is not None and member.standing.is_reachable:
            self._prober.doubt(now_s, member)

    def move(self, now_s: float, address: Address) -> None:
        """We are reached at this address from now on."""
        own = self.own
        if address != own.address:
            own.address = address
            self._rise_above(now_s, own.gen, own.identity.inc)
            self._gossiper.wake(now_s)

    def publish(self, now_s: float, section: int, content: bytes) -> None:
        """Overwrite one section of our own row.

        Raises FactsTooLarge.
        """
        own = self.own
        written = own.facts.write(section, content)
        # With the claim goes how much we have written, so that who misses some knows it.
        self.desk.rumours.tell(own.claim())
        self.desk.rumours.tell(Fact(own.node, own.gen, section, written.sver, content))
        self._gossiper.wake(now_s)

    def set_load(self, now_s: float, load: LoadRecord) -> None:
        """How busy we are; node, counter and age are filled in here."""
        self._gossiper.set_load(now_s, load)

    def load_of(self, now_s: float, node: NodeId) -> LoadRecord | None:
        """The newest known load of a peer, with its age."""
        return self.desk.loads.of(node, now_s)

    def ask_load(self, node: NodeId, model: ModelId) -> int | None:
        """Ask a peer for its load as it is now. The answer comes as an event with this number."""
        member = self.members.get(node)
        if member is None or member.reach is None:
            return None
        own, seq = self.own, self.desk.pings.next_seq()
        question = LoadQuestion(node=own.node, gen=own.gen, seq=seq, model=model)
        self.desk.speaker.send(member.reach, question)
        return seq

    def answer_load(
        self, now_s: float, address: Address, seq: int, verdict: Verdict, wait_ms: int
    ) -> None:
        """Answer a `LoadAsked`."""
        self.desk.speaker.send(address, self.load_answer(now_s, seq, verdict, wait_ms))

    def load_answer(self, now_s: float, seq: int, verdict: Verdict, wait_ms: int) -> LoadAnswer:
        """What we say when asked."""
        own, load = self.own, self._gossiper.own_load(now_s)
        return LoadAnswer(
            node=own.node, gen=own.gen, seq=seq, load=load, verdict=verdict, wait_ms=wait_ms
        )

    def leave(self, now_s: float) -> bool:
        """Say goodbye to a few, who tell the rest; the caller may end a moment later. False where
        there is nobody to hear it.
        """
        desk = self.desk
        desk.own.has_left = True
        desk.rumours.tell(desk.own.claim())
        reachable = desk.members.reachable()
        for member in desk.rng.sample(reachable, min(len(reachable), desk.timing.goodbyes)):
            if member.reach is not None:
                desk.speaker.gossip(member.reach, first=(desk.own.claim(),))
        self._gossiper.wake(now_s)
        return len(desk.members) > 0

    def digest(self) -> tuple[Digest, ...]:
        """What we hold of everybody: the first half of a synchronisation."""
        return syncing.digest(self.own, self.members)

    def answer_sync(self, digest: Sequence[Digest]) -> syncing.Comparison:
        """The rows where we are ahead of the asker, and what we want of its."""
        return syncing.answer(self.own, self.members, digest)

    def wanted_rows(self, wants: Iterable[Digest]) -> tuple[Row, ...]:
        return syncing.rows(self.own, self.members, wants)

    def on_rows(self, now_s: float, teller: NodeId, rows: Iterable[Row]) -> None:
        """Take the rows of a synchronisation; TLS has made sure that they are fresh."""
        self._has_synced = True
        for row in rows:
            syncing.merge(now_s, self.own, self.members, self._beliefs, teller, row)
        self._gossiper.wake(now_s)

    def _start(self, now_s: float) -> None:
        timing, agenda, rng = self.desk.timing, self.desk.agenda, self.desk.rng
        self.desk.rumours.tell(self.own.claim())
        self._gossiper.start(now_s)
        self._seeker.start(now_s)
        agenda.at(now_s + rng.random() * timing.probe_period_s, self._prober.round)
        self._synchroniser.start(now_s)
        agenda.at(now_s + TOMBSTONE_ROUND_S, self._tombstone_round)

    def _tombstone_round(self, now_s: float) -> None:
        self.desk.agenda.at(now_s + TOMBSTONE_ROUND_S, self._tombstone_round)
        self._beliefs.forget_tombstones(now_s)

    def _on_moved(self, now_s: float, member: Member, before: Standing | None) -> None:
        if not member.standing.is_reachable:
            if before is not None and before.is_reachable:
                self._seeker.begin_anew(now_s)
            return
        if before is None or not before.is_reachable:
            self._prober.order.insert(member.node)
        if before is not None and before.state is State.DEAD:
            self._synchroniser.out_of_turn(now_s, member.node)  # a partition has healed

    def _refute(self, now_s: float, gen: int, inc: int) -> None:
        """What is said of us is too much: be above it."""
        self.desk.health.blame()
        self._rise_above(now_s, gen, inc)
        # Whoever says it is there, and may not hear that it is not so: we may hold him dead, too.
        self._seeker.begin_anew(now_s)

    def _rise_above(self, now_s: float, gen: int, inc: int) -> None:
        identity = refuted(self.own.identity, gen, inc, self.desk.rng.randbytes)
        self._become(now_s, identity, "our numbers ran out")

    def _outlive(self, now_s: float, gen: int) -> None:
        """Of our node more is told than we have said: be above whoever did."""
        meet, own = self._doubles.meet, self.own
        identity = meet(now_s, own.identity, UNKNOWN_BOOT, gen, self.desk.rng.randbytes)
        self._become(now_s, identity, "of our node more is told than we have said")

    def _become(self, now_s: float, identity: Identity, reason: str) -> None:
        """Take a new identity, or new numbers, and tell everybody."""
        own, before = self.own, self.own.identity
        if identity == before:
            return
        own.identity = identity
        if (identity.node, identity.gen) != (before.node, before.gen):
            self.desk.speaker.emit(IdentityChanged(identity.node, identity.gen, reason))
            self.desk.rumours.drop(before.node)
            self._gossiper.retell_load(now_s, before.node)
            for held in own.facts.since(0):
                fact = Fact(own.node, own.gen, held.section, held.sver, held.content)
                self.desk.rumours.tell(fact)
        self.desk.rumours.tell(own.claim())

    def _notice_lag(self, now_s: float) -> None:
        """A timer that is late says that we, and not the others, were silent."""
        due_s = self.desk.agenda.next_s
        if due_s is None or due_s == self._lag_seen_of_s:
            return
        if self.was_silent(now_s, now_s - due_s):
            self._lag_seen_of_s = due_s

    def _resume(self, now_s: float, slept_s: float) -> None:
        timing, own = self.desk.timing, self.own
        grace_s, _ = timing.suspicion_range_s(self.members.num_reachable + 1)
        self._prober.lenient_until_s = now_s + grace_s
        self._beliefs.postpone(now_s + grace_s)
        self._rise_above(now_s, own.gen, own.identity.inc)
        self._seeker.begin_anew(now_s)
        self.desk.speaker.emit(Resumed(slept_s))
