"""Whom a command asks that only looks on: the peer that is named, or those of this machine."""

from __future__ import annotations

from cortex.peer.addresses import normalise_address
from cortex.peer.errors import NoPeer, nobody_here
from cortex.peer.onlooker.asking import Asking, Door, Sight
from cortex.peer.serving.announcement import find_announcements

from .config import Invocation

# A peer next door answers at once or is not well.
_LOCAL_SILENCE_S = 1.0


def find_doors(invocation: Invocation, peer: str | None) -> list[Door]:
    """The youngest first. A peer of this machine is asked with the key of its note where the
    environment holds none.
    """
    notes = find_announcements(invocation.locations)
    if peer is None:
        return [Door(note.address, invocation.api_key or note.key) for note in notes]
    address = normalise_address(peer)
    noted = next((note.key for note in notes if note.address == address), None)
    return [Door(address, invocation.api_key or noted)]


def doors_to_ask(invocation: Invocation, peer: str | None) -> list[Door]:
    """As `find_doors`, for whoever asks now or not at all. Raises NoPeer where there is none."""
    doors = find_doors(invocation, peer)
    if not doors:
        raise nobody_here(invocation.locations.note_dirs)
    return doors


def ask_first(doors: list[Door]) -> Sight:
    """What the first one tells that answers.

    Raises what the last one failed with; NoPeer where there is none.
    """
    error = nobody_here()
    asking = Asking(_LOCAL_SILENCE_S) if len(doors) > 1 else Asking()
    for door in doors:
        try:
            return asking.fleet(door)
        except NoPeer as problem:
            error = problem
    raise error
