"""The fleet in sentences, for whoever has a table read aloud: first how all is, then what changes.
Pure.
"""

from __future__ import annotations

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.changes import changes
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture


def sentences(before: FleetPicture | None, after: FleetPicture) -> list[str]:
    """All of it where nothing was told before, or of another fleet; then only what is new."""
    if before is not None and before.fleet == after.fleet:
        notices = [notice for notice in after.notices if notice not in before.notices]
        return [f"{change}." for change in changes(before, after)] + notices
    heading = ", ".join(wording.heading(after))
    return [f"{heading}.", *map(_standing, after.peers), *wording.worries(after)]


def _standing(peer: PeerPicture) -> str:
    models = ", ".join(f"{model.id} {model.state}" for model in peer.models) or "no model loaded"
    return f"{peer.name} is {peer.state}: {wording.devices(peer)}; {models}."
