"""Whom a command asks that only looks on: the peer that is named, or those of this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cortex.peer.addresses import normalise_address
from cortex.peer.announcement import read_announcements
from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.asking import Asking, Door, Sight

from .config import Invocation

T = TypeVar("T")

# A peer next door answers at once or is not well.
_LOCAL_SILENCE_S = 1.0


def find_doors(invocation: Invocation, peer: str | None) -> list[Door]:
    """The youngest first. A peer of this machine is asked with the key of its note where the
    environment holds none.
    """
    notes = read_announcements(invocation.locations.announcements_dir)
    if peer is None:
        return [Door(note.address, invocation.api_key or note.key) for note in notes]
    address = normalise_address(peer)
    noted = next((note.key for note in notes if note.address == address), None)
    return [Door(address, invocation.api_key or noted)]


def ask_first(doors: list[Door]) -> Sight:
    """What the first one tells of the fleet that answers; raises as `first_answer`."""
    return first_answer(doors, Asking.fleet, "ask another: cortex status HOST:PORT")


def first_answer(doors: list[Door], ask: Callable[[Asking, Door], T], otherwise: str) -> T:
    """What the first one answers that is there; `otherwise` says what to do where there is none.

    Raises what the last one failed with, NoPeer where there is none, and what one refuses.
    """
    error = NoPeer(
        "no peer is running on this machine", f"start one with: cortex peer; or {otherwise}"
    )
    asking = Asking(_LOCAL_SILENCE_S) if len(doors) > 1 else Asking()
    for door in doors:
        try:
            return ask(asking, door)
        except NoPeer as problem:
            error = problem
    raise error
