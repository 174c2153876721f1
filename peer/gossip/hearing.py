"""What one message does: who is fresh is believed, who is not is answered and challenged.

No message is answered by more than one datagram at once, so that nobody can make us shout. What
is believed of what was heard is decided in `Beliefs`.
"""

from __future__ import annotations

from .beliefs import Beliefs
from .desk import Desk
from .events import LoadAnswered, LoadAsked, ObservedAs, Refused
from .gossiping import Gossiper
from .ids import BootId, NodeId
from .members import State
from .messages import (
    RELAYED,
    Ack,
    Gossip,
    LoadAnswer,
    LoadQuestion,
    Message,
    Nack,
    Ping,
    PingRequest,
    Refuse,
    Target,
    Versions,
)
from .probing import Prober
from .records import Address, Dead, LoadRecord, Rumour, Suspect

WRONG_PROTOCOL = "wrong protocol"


class Hearing:
    """The way of a message through a core."""

    def __init__(self, desk: Desk, beliefs: Beliefs, prober: Prober, gossiper: Gossiper) -> None:
        self._desk = desk
        self._beliefs = beliefs
        self._prober = prober
        self._gossiper = gossiper
        self._observed: Address | None = None

    def hear(self, now_s: float, address: Address, boot: BootId, message: Message) -> bool:
        """Take a message of another node. True if its sender is fresh, and so was believed."""
        desk = self._desk
        if isinstance(message, Ping) and message.to not in (None, desk.own.node):
            return False
        if isinstance(message, Refuse):
            desk.speaker.emit(Refused(message.node, address, message.reason, by_us=False))
            return False
        if isinstance(message, Ping) and not overlap(message.versions, desk.versions):
            self._refuse(now_s, address, boot, message)
            return False
        on_pong = desk.pings.on_ack(message) if isinstance(message, Ack) else None
        if on_pong is not None:
            desk.sessions.establish(boot, message.node)
        if not desk.sessions.is_fresh(boot, message.node):
            self._meet_stranger(now_s, address, boot, message)
            return False
        self._believe(now_s, address, message)
        if on_pong is not None and isinstance(message, Ack):
            on_pong(now_s, message)
        self._react(now_s, address, message)
        return True

    def answer_double(self, now_s: float, address: Address, boot: BootId, message: Message) -> None:
        """Let another run of our own node know of us: there may be nobody else to tell it."""
        desk = self._desk
        stranger = desk.sessions.stranger(boot, message.node)
        if isinstance(message, Ping) and now_s - stranger.answered_s >= desk.timing.answer_gap_s:
            stranger.answered_s = now_s
            desk.speaker.ack(address, message, self._gossiper.own_load(now_s), first=())

    def _meet_stranger(
        self, now_s: float, address: Address, boot: BootId, message: Message
    ) -> None:
        """Answer a ping, and find out whether this is a recording."""
        desk = self._desk
        stranger = desk.sessions.stranger(boot, message.node)
        if now_s - stranger.answered_s < desk.timing.answer_gap_s:
            return
        if isinstance(message, Ping):
            stranger.answered_s = now_s
            load = self._gossiper.own_load(now_s)
            desk.speaker.ack(address, message, load, first=(desk.own.claim(),))
        if now_s - stranger.challenged_s < desk.timing.probe_period_s:
            return
        stranger.challenged_s = now_s
        delay_s = desk.timing.answer_gap_s if isinstance(message, Ping) else 0.0

        def challenge(at_s: float) -> None:
            if not desk.sessions.is_fresh(boot, message.node):
                stranger.answered_s = at_s
                until_s = at_s + desk.timing.probe_period_s
                desk.pings.ping(address, message.node, until_s, first=(desk.own.claim(),))

        desk.agenda.at(now_s + delay_s, challenge)

    def _believe(self, now_s: float, address: Address, message: Message) -> None:
        """Note that the sender lives, and take what it says of itself and of others."""
        for rumour in message.rumours if isinstance(message, Ping | Ack | Gossip) else ():
            # Nobody accuses itself; whoever seems to is answered, not taken at its word.
            if not (rumour.node == message.node and isinstance(rumour, Suspect | Dead)):
                self._beliefs.hear(now_s, rumour)
        member = self._desk.members.get(message.node)
        if member is not None and member.standing.gen == message.gen:
            self._desk.members.note_heard(member, address, now_s)
            self._take_own_load(now_s, message)
        for record in message.loads if isinstance(message, Ping | Ack | Gossip) else ():
            self._take_load(now_s, record)

    def _take_own_load(self, now_s: float, message: Message) -> None:
        """Straight from its owner, whose generation the message names."""
        load = message.load if isinstance(message, Ping | Ack | LoadAnswer) else None
        if load is not None and load.node == message.node:
            self._desk.loads.learn(load, now_s)

    def _take_load(self, now_s: float, record: LoadRecord) -> None:
        """A relayed record does not say of which generation it is: it must be younger than that."""
        member = self._desk.members.get(record.node)
        if member is None or not member.standing.is_reachable:
            return
        if now_s - record.age_ds / 10 > member.gen_since_s:
            self._desk.loads.learn(record, now_s)

    def _react(self, now_s: float, address: Address, message: Message) -> None:
        desk = self._desk
        match message:
            case Ping():
                load = self._gossiper.own_load(now_s)
                first = (*self._news_for(now_s, message.node), *self._put_right(message))
                desk.speaker.ack(address, message, load, first)
                return
            case Ack():
                self._note_observed(message)
                if message.flags & RELAYED:
                    self._prober.on_answer(message.seq)
            case Nack():
                self._prober.on_nack(message.seq)
            case PingRequest():
                self._relay(now_s, address, message.seq, message.target)
                return
            case LoadQuestion():
                desk.speaker.emit(LoadAsked(address, message.seq, message.model))
                return
            case LoadAnswer():
                desk.speaker.emit(LoadAnswered(message))
            case _:
                pass
        member = desk.members.get(message.node)
        if member is not None and member.standing.state is State.DEAD:
            self._beliefs.accuse_to_its_face(now_s, member)

    def _news_for(self, now_s: float, node: NodeId) -> tuple[Rumour, ...]:
        """What an asker must hear first: that it is doubted, so that it can refute that."""
        member = self._desk.members.get(node)
        if member is None or member.standing.state not in (State.SUSPECT, State.DEAD):
            return ()
        member.accused_s = now_s
        return (self._beliefs.verdict(member),)

    def _put_right(self, ping: Ping) -> tuple[Rumour, ...]:
        """What an asker must hear who thinks us doubted or dead: the refutation may be long ago,
        and nobody else may be telling of it any more.
        """
        own = self._desk.own
        accuses = any(
            rumour.node == own.node and isinstance(rumour, Suspect | Dead)
            for rumour in ping.rumours
        )
        return (own.claim(),) if accuses else ()

    def _relay(self, now_s: float, address: Address, seq: int, target: Target) -> None:
        """Ask the target for somebody who had no answer, and tell him how it went."""
        desk, timing = self._desk, self._desk.timing
        patience_s = (timing.probe_period_s - timing.direct_timeout_s) * timing.nack_after
        is_answered = False

        def on_pong(at_s: float, ack: Ack) -> None:
            nonlocal is_answered
            if ack.node == target.node and not is_answered:
                is_answered = True
                desk.speaker.relay_ack(address, seq, self._gossiper.own_load(at_s))

        def ping(at_s: float) -> None:
            if not is_answered:
                where = Address(target.ip, target.port)
                desk.pings.ping(where, target.node, now_s + patience_s, on_pong=on_pong)

        def give_up(at_s: float) -> None:
            if not is_answered:
                desk.speaker.nack(address, seq)

        for index in range(timing.relay_pings):
            desk.agenda.at(now_s + index * timing.ping_gap_s, ping)
        desk.agenda.at(now_s + patience_s, give_up)

    def _refuse(self, now_s: float, address: Address, boot: BootId, ping: Ping) -> None:
        desk = self._desk
        stranger = desk.sessions.stranger(boot, ping.node)
        if now_s - stranger.answered_s < desk.timing.probe_period_s:
            return
        stranger.answered_s = now_s
        own = desk.own
        refuse = Refuse(node=own.node, gen=own.gen, seq=ping.seq, reason=WRONG_PROTOCOL)
        desk.speaker.send(address, refuse)
        if not stranger.is_refused:
            stranger.is_refused = True
            desk.speaker.emit(Refused(ping.node, address, WRONG_PROTOCOL, by_us=True))

    def _note_observed(self, ack: Ack) -> None:
        if ack.observed is not None and ack.observed != self._observed:
            self._observed = ack.observed
            self._desk.speaker.emit(ObservedAs(ack.observed))


def overlap(theirs: Versions | None, ours: Versions) -> bool:
    """True where there is a minor version that both sides speak."""
    if theirs is None:
        return True
    return theirs.lowest <= ours.highest and ours.lowest <= theirs.highest
