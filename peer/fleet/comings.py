"""Who has come, gone or fallen silent between two views of the fleet, a sentence each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..observing.chronicle import Chronicle
from .view import FleetView, PeerView


@dataclass(frozen=True, slots=True)
class Coming:
    """`what` is a word for programs, and `text` goes on from the peer's name."""

    peer: str
    what: str
    text: str


def comings(before: FleetView, after: FleetView) -> Iterator[Coming]:
    for peer in after.peers:
        told = None if peer.is_self else _coming(before.peer(peer.node), peer)
        if told is not None:
            yield Coming(peer.name, *told)


def chronicler(chronicle: Chronicle, view: FleetView) -> Callable[[FleetView], None]:
    """Notes who comes and goes from that view on."""

    def note(after: FleetView) -> None:
        nonlocal view
        before, view = view, after
        for one in comings(before, after):
            chronicle.add(one.what, one.text, about=one.peer)

    return note


def _coming(before: PeerView | None, after: PeerView) -> tuple[str, str] | None:
    """Nobody is told of who was gone before he was known, or has not said who he is yet."""
    was = before.state if before is not None and before.build else None
    if was == after.state or not after.build or (was is None and after.is_gone):
        return None
    match after.state:
        case "up":
            is_back = was in ("suspect", "draining")
            return ("back", "answers again") if is_back else ("joined", "joined the fleet")
        case "draining":
            return "draining", "takes nothing new"
        case "suspect":
            return "suspect", f"has not answered for {after.silent_s:.0f} s"
        case "dead":
            return "dead", f"is gone: nobody has heard of it for {after.silent_s:.0f} s"
        case "left":
            return "left", "has left the fleet"
