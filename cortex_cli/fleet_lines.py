"""What a peer says about its fleet: when it starts, and when others come and go. Pure.

A peer speaks of others once they have told of themselves, by the names they gave.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cortex.peer.addresses import host_of, is_loopback

if TYPE_CHECKING:
    from cortex.peer.config import FleetConfig
    from cortex.peer.fleet.view import FleetView, PeerView
    from cortex.peer.keys.keyring import Keyring

_OF_A_CPU = "cores"
_ENDED = ("gone", "left")
# Makers and families, which say nothing beside the number.
_MAKERS = re.compile(r"\b(?:NVIDIA|GeForce|RTX|AMD|Radeon)\s+")


def describe_fleet(
    fleet: FleetConfig,
    ring: Keyring,
    interfaces: Sequence[str] = (),
    neurons: Sequence[str] = (),
    state_dir: Path | None = None,
    *,
    is_new: bool,
) -> list[str]:
    """Which fleet, and where others are looked for.

    The key itself is shown where it has just been made: no later start shows it. `interfaces` are
    those that are searched, `neurons` names of addresses to try, `state_dir` is the one that was
    named.
    """
    here = "" if state_dir is None else f" --state-dir {shlex.quote(str(state_dir))}"
    key = ring.primary
    told = (
        f"new; elsewhere run: cortex join {key.text}"
        if is_new
        else f"to join it elsewhere, see: cortex key{here}"
    )
    return [
        f"fleet  {key.key_id.hex()}   {told}",
        f"looks  {_searched(fleet, interfaces, neurons)}",
    ]


def _searched(fleet: FleetConfig, interfaces: Sequence[str], neurons: Sequence[str]) -> str:
    places: list[str] = []
    if fleet.has_mdns:
        places.append(f"by mDNS on {', '.join(interfaces) or 'no interface: none is usable'}")
    if fleet.join:
        named = f" (with {', '.join(neurons)})" if neurons else ""
        places.append(f"for {', '.join(fleet.join)}{named}")
    return "; ".join(places) or "nowhere: it can only be found"


def changes(before: FleetView | None, after: FleetView) -> list[str]:
    """What a person is told of the second view who has seen the first."""
    lines = [line for peer in after.peers if (line := _change(_old(before, peer), peer))]
    if before is not None and before.me.name != after.me.name:
        lines.append(f"this peer is shown as {after.me.name}{_why_so(after)}")
    known = () if before is None else before.notices
    return lines + [notice for notice in after.notices if notice not in known]


def _why_so(view: FleetView) -> str:
    own_name = view.me.name.rpartition("-")[0]
    has_twin = any(peer.name.rpartition("-")[0] == own_name for peer in view.peers[1:])
    return f": another one is called {own_name} too" if own_name and has_twin else ""


def _old(before: FleetView | None, peer: PeerView) -> PeerView | None:
    return None if before is None else before.peer(peer.node)


def _change(old: PeerView | None, new: PeerView) -> str | None:
    if new.is_self:
        return None
    was, now = _standing(old), _standing(new)
    if was == now or (was == "unknown" and now in _ENDED):
        return None
    match now:
        case "here":
            back = was in ("silent", "draining")
            return f"{new.name} answers again" if back else f"{new.name} joined ({_about(new)})"
        case "draining":
            return f"{new.name} takes nothing new: it is about to leave"
        case "silent":
            return f"{new.name} does not answer"
        case "gone":
            return f"{new.name} is gone: it has not answered for {new.silent_s:.0f} s"
        case "left":
            return f"{new.name} left"
        case _:
            return None


def _standing(peer: PeerView | None) -> str:
    """How a peer stands with somebody who is not told of strangers, or of who was never here."""
    if peer is None or not peer.build:
        return "unknown"
    return {"up": "here", "suspect": "silent", "dead": "gone"}.get(peer.state, peer.state)


def _about(peer: PeerView) -> str:
    """What it computes on, and its API where others reach that, else its fleet port."""
    reach = f"{peer.reach.ip}:{peer.reach.port}" if peer.reach else ""
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


def opening(view: FleetView) -> Iterator[str]:
    """What the first view adds to what was said at the start."""
    reach = view.me.reach
    if reach is not None:
        yield f"known  to the fleet as {view.me.name}, reached at {reach.ip}:{reach.port}"
