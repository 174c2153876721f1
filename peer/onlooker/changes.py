"""What happened between two pictures of one fleet, a sentence each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from . import wording
from .pictures import FleetPicture, PeerPicture

_BECAME = {
    "draining": "takes nothing new",
    "suspect": "does not answer",
    "dead": "is gone",
    "left": "has left",
}


def changes(before: FleetPicture, after: FleetPicture) -> list[str]:
    """Nothing where the one is of another fleet: then all of it is new."""
    if before.fleet != after.fleet:
        return []
    known = {peer.node: peer for peer in before.peers}
    return [
        f"{peer.name} {words}" for peer in after.peers for words in _of(known.get(peer.node), peer)
    ]


def _of(before: PeerPicture | None, after: PeerPicture) -> Iterator[str]:
    if before is None:
        yield f"joined ({wording.devices(after)})"
        return
    if before.state != after.state:
        if after.state in _BECAME:
            yield _BECAME[after.state]
        elif before.state in _BECAME:
            yield "is back"
    was = {model.id: model for model in before.models}
    for model in after.models:
        known = was.pop(model.id, None)
        if known is None or known.state != model.state:
            is_ready = model.state == "ready"
            yield f"has {model.id} ready" if is_ready else f"is {model.state} {model.id}"
        if model.is_pinned != (known is not None and known.is_pinned):
            yield f"{'keeps' if model.is_pinned else 'may let go of'} {model.id}"
    yield from (f"has unloaded {id}" for id in was)
