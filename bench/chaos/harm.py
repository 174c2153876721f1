"""What befalls the peers of a trial: killed, halted, told to leave, and started again.

Two are down at most, and one that comes back is left alone until the others see it.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..live.peers import UNREACHABLE, up_everywhere
from ..live.process import NotReady, PeerProcess
from .history import ENDED_BY_ITSELF, Harm

MOST_DOWN = 2
# How long a peer is halted, or stays away after its end.
_HALTED_S = (0.5, 20.0)
_AWAY_S = (0.0, 5.0)
_BETWEEN_S = (1.0, 5.0)
# A client that read what a harmed peer still had in the socket may see its end a little later.
_AFTER_S = 1.0
_PATIENCE_S = 30.0


@dataclass
class Misfortune:
    peers: Sequence[PeerProcess]
    zero_s: float
    rng: random.Random
    harms: list[Harm] = field(default_factory=list[Harm])
    is_over: bool = False
    _down: set[str] = field(default_factory=set[str])

    def up(self) -> list[PeerProcess]:
        """Those that a client may believe to be there."""
        return [peer for peer in self.peers if peer.name not in self._down]

    async def befall_all(self, seconds: float | None) -> None:
        """Chance for so long; without a time each leaves once. At the end all are there again."""
        await (self.roll() if seconds is None else self.strike(time.monotonic() + seconds))
        for peer in self.peers:
            if not peer.is_running:
                self._tell_end(peer)
        self.is_over = True

    async def strike(self, until_s: float) -> None:
        """Again and again."""
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until_s:
                if len(self._down) < MOST_DOWN:
                    peer = self.rng.choice(self.up())
                    self._down.add(peer.name)
                    group.create_task(
                        self._befall(peer, self.rng.choice(("kill", "halt", "leave")))
                    )
                await asyncio.sleep(self.rng.uniform(*_BETWEEN_S))

    async def roll(self) -> None:
        """Each of them leaves and starts again, one after the other."""
        for peer in self.peers:
            self._down.add(peer.name)
            await self._befall(peer, "leave")

    async def _befall(self, peer: PeerProcess, kind: str) -> None:
        begun_s = time.monotonic()
        if not peer.is_running:
            self._tell_end(peer)
            kind = "kill"
        if kind == "halt":
            peer.signal(signal.SIGSTOP)
            await asyncio.sleep(self.rng.uniform(*_HALTED_S))
            peer.signal(signal.SIGCONT)
        else:
            await asyncio.to_thread(peer.kill if kind == "kill" else peer.leave)
            await asyncio.sleep(self.rng.uniform(*_AWAY_S))
            if not await self._started(peer):
                kind = f"{kind}, and a start that failed"
                await asyncio.to_thread(peer.kill)
                peer.start()
                await asyncio.to_thread(peer.wait)
        await self._is_seen(peer)
        ended_s = time.monotonic() + _AFTER_S
        self.harms.append(Harm(peer.name, kind, begun_s - self.zero_s, ended_s - self.zero_s))
        self._down.discard(peer.name)

    def _tell_end(self, peer: PeerProcess) -> None:
        """Nobody told it to: a fault of the peer, whatever it cost the clients."""
        print(f"{peer.name} had ended by itself:\n{peer.tail()}", file=sys.stderr)
        now_s = time.monotonic() - self.zero_s
        self.harms.append(Harm(peer.name, ENDED_BY_ITSELF, now_s, now_s))

    async def _started(self, peer: PeerProcess) -> bool:
        """The trial asks what becomes of requests: a start that fails is told and counted."""
        peer.start()
        try:
            await asyncio.to_thread(peer.wait)
        except NotReady as error:
            print(error, file=sys.stderr)
            return False
        return True

    async def _is_seen(self, peer: PeerProcess) -> None:
        """By all that are there; the rest of the trial goes on where it takes too long."""
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < _PATIENCE_S:
            others = [other for other in self.up() if other is not peer]
            if await asyncio.to_thread(_is_up, peer.name, others):
                return
            await asyncio.sleep(0.2)


def _is_up(name: str, others: Sequence[PeerProcess]) -> bool:
    try:
        return up_everywhere(name, others)
    except UNREACHABLE:
        return False
