"""The fleet in sentences, for whoever has a table read aloud: first how all is, then what happens.
Pure.
"""

from __future__ import annotations

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture


def sentences(before: FleetPicture | None, sight: Sight) -> list[str]:
    """All of it where nothing was told before, or of another fleet; then only what is new."""
    now, happening = sight.picture, sight.happening
    if before is None or before.fleet != now.fleet:
        heading = ", ".join(wording.heading(now))
        return [f"{heading}.", *map(_standing, now.peers), *wording.worries(now)]
    if happening is not None:
        return [f"{happening.peer}: {happening.text}."]
    return [notice for notice in now.notices if notice not in before.notices]


def _standing(peer: PeerPicture) -> str:
    models = ", ".join(f"{model.id} {model.state}" for model in peer.models) or "no model loaded"
    return f"{peer.name} is {peer.state}: {wording.devices(peer)}; {models}."
