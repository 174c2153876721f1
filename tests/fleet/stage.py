"""One core alone, and what a test needs to play everybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cortex.peer.gossip.core import Core
from cortex.peer.gossip.events import (
    Event,
    Send,
)
from cortex.peer.gossip.ids import BootId, NodeId
from cortex.peer.gossip.members import Standing
from cortex.peer.gossip.messages import (
    Ack,
    Gossip,
    Message,
    Ping,
)
from cortex.peer.gossip.records import (
    Address,
    Alive,
    Contact,
    LoadRecord,
    Rumour,
)

US, YOU, HIM, HER = (NodeId(bytes([letter]) * 8) for letter in b"uyhe")
HOME, YOURS, HIS = (Address("10.0.0.1", port) for port in (1, 2, 3))
CHALLENGE = b"challeng"


def boot_of(node: NodeId, run: int = 0) -> BootId:
    return BootId(bytes([node[0]]) * 7 + bytes([run]))


def load_of(node: NodeId, lv: int = 1) -> LoadRecord:
    return LoadRecord(node, lv, 0, 0, lv, 0, 0, 0, 0)


def alive(node: NodeId, gen: int = 1, inc: int = 0) -> Alive:
    return Alive(node, gen, inc, Contact("10.0.0.9", node[0], 0))


def ping(node: NodeId, *rumours: Rumour, to: NodeId | None = US) -> Ping:
    return Ping(node=node, gen=1, seq=77, challenge=CHALLENGE, to=to, rumours=rumours)


def gossip(node: NodeId, *rumours: Rumour) -> Gossip:
    return Gossip(node=node, gen=1, rumours=rumours)


@dataclass
class Stage:
    """A core, the time, and what has come out of it."""

    core: Core
    now_s: float = 0.0

    def hear(self, message: Message, address: Address = YOURS, *, run: int = 0) -> list[Send]:
        self.core.on_message(self.now_s, address, boot_of(message.node, run), message)
        return self.poll()[0]

    def poll(self) -> tuple[list[Send], list[Event]]:
        sends, self.events = self.core.poll()
        return sends, self.events

    def wait(self, seconds: float) -> list[Send]:
        """Let time pass, timer by timer, with nobody answering."""
        until_s = self.now_s + seconds
        sends: list[Send] = []
        events: list[Event] = []
        while (next_s := self.core.next_s) is not None and next_s <= until_s:
            self.now_s = max(self.now_s, next_s)
            self.core.on_timer(self.now_s)
            told, happened = self.poll()
            sends += told
            events += happened
        self.now_s = until_s
        self.events = events
        return sends

    def meet(self, node: NodeId, address: Address = YOURS, *, run: int = 0, gen: int = 1) -> None:
        """Be asked by the core who we are, and answer."""
        self.core.suggest(self.now_s, address)
        asked = next(send.message for send in self.poll()[0] if isinstance(send.message, Ping))
        answer = Ack(
            node=node,
            gen=gen,
            seq=asked.seq,
            challenge=asked.challenge,
            load=load_of(node),
            rumours=(alive(node, gen),),
        )
        self.hear(answer, address, run=run)

    def standing(self, node: NodeId) -> Standing | None:
        member = self.core.members.get(node)
        return member.standing if member else None


class Size(NamedTuple):
    """How much a core keeps, by table."""

    members: int
    rumours: int
    loads: int
    sessions: int
    strangers: int
    pings: int
    tasks: int


def size_of(core: Core) -> Size:
    desk = core.desk
    return Size(
        members=len(desk.members),
        rumours=len(desk.rumours),
        loads=len(desk.loads),
        sessions=len(desk.sessions),
        strangers=desk.sessions.num_strangers,
        pings=len(desk.pings),
        tasks=len(desk.agenda),
    )


def messages(sends: list[Send], *types: type[Message]) -> list[Message]:
    return [send.message for send in sends if isinstance(send.message, types)]
