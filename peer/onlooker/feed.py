"""The fleet watched for as long as somebody wants to, from whichever of its peers answers.

When the peer that is watched is gone, the others of the last picture are asked, then it again, then
those where the search began; an address that a picture named counts only where it shows the same
fleet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from cortex.engine.errors import CortexError

from ..errors import NoPeer, nobody_here
from .asking import Asking, Door, Sight
from .pictures import FleetPicture

RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    address: str
    sight: Sight


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody is seen now. `address` is the last that was; None before the first.

    `retry_s` is when all are asked again: 0 is at once.
    """

    address: str | None
    error: CortexError
    retry_s: float


News = Seen | Lost


class Feed:
    """`doors` says where the search begins, asked afresh each time; `key` opens all other doors."""

    def __init__(
        self,
        doors: Callable[[], Sequence[Door]],
        key: str | None = None,
        asking: Asking | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._doors = doors
        self._key = key
        self._asking = asking or Asking()
        self._retry_s = retry_s
        self._closed = threading.Event()
        self._seen: Door | None = None

    def close(self) -> None:
        """End it from any thread: whoever waits for news gets no more."""
        self._closed.set()
        self._asking.close()

    def doors(self) -> list[Door]:
        """Whom to give orders, from any thread: the peer that is watched, else as in the search."""
        return list(self._doors()) if self._seen is None else [self._seen]

    def news(self) -> Generator[News]:
        last: Seen | None = None
        while not self._closed.is_set():
            error: CortexError = nobody_here()
            was_seen = False
            for door, fleet in self._to_ask(last):
                try:
                    for sight in self._asking.events(door):
                        if fleet is not None and sight.picture.fleet != fleet:
                            raise NoPeer(f"{door.address} belongs to another fleet")
                        was_seen, last = True, Seen(door.address, sight)
                        self._seen = door
                        yield last
                except CortexError as problem:
                    error = problem
                if was_seen or self._closed.is_set():
                    break
            if self._closed.is_set():
                return
            retry_s = 0.0 if was_seen else self._retry_s
            yield Lost(last.address if last else None, error, retry_s)
            self._closed.wait(retry_s)

    def _to_ask(self, last: Seen | None) -> list[tuple[Door, str | None]]:
        """Doors in order, and the fleet that must be behind each where that matters."""
        first = self._doors()
        keys = {door.address: door.key for door in first}
        wished: dict[str, str | None] = {}
        if last is not None:
            picture = last.sight.picture
            wished = {at: picture.fleet for at in (*others(picture), last.address)}
        wished |= {door.address: None for door in first}
        return [(Door(at, keys.get(at, self._key)), fleet) for at, fleet in wished.items()]


def others(picture: FleetPicture) -> list[str]:
    """The addresses of those that may answer in the place of the peer whose picture it is."""
    alive = ("up", "loading", "draining", "suspect")
    found = [peer for peer in picture.peers if peer.state in alive and not peer.is_asked]
    found.sort(key=lambda peer: alive.index(peer.state))
    return [peer.api for peer in found if peer.api is not None]
