"""What a peer says about its fleet when it starts, and of its own place in it. Pure.

What happens to others is told of the chronicle.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortex.peer.config import FleetConfig
    from cortex.peer.fleet.view import FleetView
    from cortex.peer.keys.keyring import Keyring


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
    """What the second view says of this peer itself, and to people, that the first did not."""
    lines: list[str] = []
    if before is not None and before.me.name != after.me.name:
        lines.append(f"this peer is shown as {after.me.name}{_why_so(after)}")
    known = () if before is None else before.notices
    return lines + [notice for notice in after.notices if notice not in known]


def _why_so(view: FleetView) -> str:
    own_name = view.me.name.rpartition("-")[0]
    has_twin = any(peer.name.rpartition("-")[0] == own_name for peer in view.peers[1:])
    return f": another one is called {own_name} too" if own_name and has_twin else ""


def opening(view: FleetView) -> Iterator[str]:
    """What the first view adds to what was said at the start."""
    reach = view.me.reach
    if reach is not None:
        yield f"known  to the fleet as {view.me.name}, reached at {reach.ip}:{reach.port}"
