"""The pings that wait for their ack, each with a challenge that only a live peer can echo."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .agenda import Agenda
from .ids import ID_BYTES, NodeId
from .messages import Ack
from .records import Address, Rumour
from .speaker import Speaker

MAX_SEQ = 0xFFFF_FFFF

PongHandler: TypeAlias = Callable[[float, Ack], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    challenge: bytes
    on_pong: PongHandler


def _unheeded(now_s: float, ack: Ack) -> None:
    """An ack makes its sender fresh and brings its words; often that is all that is wanted."""


class Pings:
    """Sequence numbers, and what was asked under each."""

    def __init__(self, speaker: Speaker, agenda: Agenda, rng: random.Random) -> None:
        self._speaker = speaker
        self._agenda = agenda
        self._rng = rng
        self._seq = 0
        self._waiting: dict[int, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def next_seq(self) -> int:
        self._seq = self._seq % MAX_SEQ + 1
        return self._seq

    def ping(
        self,
        address: Address,
        to: NodeId | None,
        until_s: float,
        first: Sequence[Rumour] = (),
        on_pong: PongHandler = _unheeded,
    ) -> None:
        """Ping, and call back if the ack comes in time."""
        seq, challenge = self.next_seq(), self._rng.randbytes(ID_BYTES)
        self._waiting[seq] = _Waiting(challenge, on_pong)
        self._agenda.at(until_s, lambda at_s: self._forget(seq))
        self._speaker.ping(address, to, seq, challenge, first)

    def on_ack(self, ack: Ack) -> PongHandler | None:
        """Whom to tell, if the ack echoes the challenge of its ping; an ack counts once."""
        waiting = self._waiting.get(ack.seq)
        if waiting is None or waiting.challenge != ack.challenge:
            return None
        del self._waiting[ack.seq]
        return waiting.on_pong

    def _forget(self, seq: int) -> None:
        self._waiting.pop(seq, None)
