"""The open connections of a peer: so many and no more, and none that only waits keeps others out.

It knows no HTTP and no socket: what it holds can be asked whether it works, and told to go.
"""

from __future__ import annotations

from typing import Protocol

from ..hop.link import NodeOf


class Guest(Protocol):
    """A connection."""

    @property
    def has_work(self) -> bool:
        """Whether a request of it is being answered."""
        ...

    def leave(self) -> None: ...

    def finish(self) -> None:
        """Go with the next answer that begins, or after a while without work."""
        ...

    def recheck(self, node_of: NodeOf) -> None:
        """Go at once where it came as a member and is none any more."""
        ...


class Lobby:
    def __init__(self, max_guests: int) -> None:
        self._max_guests = max_guests
        # A dictionary for its order: who came first stands first.
        self._guests: dict[Guest, None] = {}
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest) -> bool:
        """Let one in; where it is full, for the oldest that has no work. False: all have some."""
        if len(self._guests) >= self._max_guests:
            idle = next((one for one in self._guests if not one.has_work), None)
            if idle is None:
                return False
            del self._guests[idle]
            idle.leave()
        self._guests[guest] = None
        if self._is_closing:
            guest.finish()
        return True

    def close(self) -> None:
        """Those that are in, or still come, ask once more at the most."""
        self._is_closing = True
        for guest in tuple(self._guests):
            guest.finish()

    def recheck(self, node_of: NodeOf) -> None:
        """The keys have changed."""
        for guest in tuple(self._guests):
            guest.recheck(node_of)

    @property
    def is_resting(self) -> bool:
        """Whether one is in that has no work, and may come to have some."""
        return any(not guest.has_work for guest in self._guests)

    def forget(self, guest: Guest) -> None:
        """It has gone."""
        self._guests.pop(guest, None)
