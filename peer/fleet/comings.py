"""Who has come, gone or fallen silent between two views of the fleet, a sentence each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..addresses import authority, host_of, is_loopback
from ..observing.chronicle import Chronicle
from .view import FleetView, PeerView

_OF_A_CPU = "cores"
# What of these is told of oneself.
_OWN = ("draining", "back")
# Makers and families, which say nothing beside the number.
_MAKERS = re.compile(r"\b(?:NVIDIA|GeForce|RTX|AMD|Radeon)\s+")


@dataclass(frozen=True, slots=True)
class Coming:
    """`what` is a word for programs, and `text` goes on from the peer's name."""

    peer: str
    what: str
    text: str


def comings(before: FleetView | None, after: FleetView) -> Iterator[Coming]:
    for peer in after.peers:
        known = None if before is None else before.peer(peer.node)
        told = _coming(known, peer)
        if told is not None and (not peer.is_self or told[0] in _OWN):
            yield Coming(peer.name, *told)


def chronicler(chronicle: Chronicle) -> Callable[[FleetView], None]:
    """Notes who is there in the first view that it is shown, and then who comes and goes."""
    before: FleetView | None = None

    def note(after: FleetView) -> None:
        nonlocal before
        earlier, before = before, after
        for one in comings(earlier, after):
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
            return ("back", "answers again") if is_back else ("joined", f"joined ({_about(after)})")
        case "draining":
            return "draining", "takes nothing new"
        case "suspect":
            return "suspect", f"has not answered for {after.silent_s:.0f} s"
        case "dead":
            return "dead", f"is gone: nobody has heard of it for {after.silent_s:.0f} s"
        case "left":
            return "left", "has left the fleet"


def _about(peer: PeerView) -> str:
    """What it computes on, and its API where others reach that, else its fleet port."""
    reach = authority(peer.reach.ip, peer.reach.port) if peer.reach else ""
    if peer.api and not is_loopback(host_of(peer.api)):
        reach = peer.api
    return ", ".join(part for part in (_computes(peer), reach) if part)


def _computes(peer: PeerView) -> str:
    if "gateway" in peer.roles:
        return "gateway"
    devices = Counter(_MAKERS.sub("", device.name) for device in peer.devices)
    return " + ".join(
        name if name.endswith(_OF_A_CPU) else f"{number}x {name}"
        for name, number in devices.items()
    )
