"""Whether the peers of the fleet are ready for a change of its key, as one that runs here sees it.

A peer that is silent, gone or has left is not asked for: it comes back with what it had.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import UsageProblem

if TYPE_CHECKING:
    from cortex.peer.keys.keyring import Keyring
    from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture

_HERE = ("up", "loading", "draining")


def must_hold(picture: FleetPicture | None, ring: Keyring, key_id: str) -> None:
    """Raises UsageProblem where a peer would not understand us if we used that key. `ring` is what
    would be held then.
    """
    without = _lacking(picture, ring, lambda peer: key_id in peer.keys_held)
    if without:
        raise UsageProblem(
            f"{without} not have fleet key {key_id} yet.",
            "there: cortex key add; to lose them, or a few seconds after that: --yes",
        )


def must_not_use(picture: FleetPicture | None, ring: Keyring, key_id: str) -> None:
    """Raises UsageProblem where a peer would be shut out if we dropped that key. `ring` is what
    would be held then.
    """
    with_it = _lacking(picture, ring, lambda peer: peer.key_used != key_id)
    if with_it:
        raise UsageProblem(
            f"{with_it} not use another fleet key than {key_id} yet.",
            f"there: cortex key use {ring.primary.key_id.hex()}; to shut them out: --yes",
        )


def _lacking(
    picture: FleetPicture | None, ring: Keyring, is_ready: Callable[[PeerPicture], bool]
) -> str:
    """Who is not ready, as the beginning of a sentence; "" where all are, or nobody knows."""
    held = {key.key_id.hex() for key in (*ring.trusted, *ring.retired)}
    if picture is None or picture.asked is None or picture.asked.key_used not in held:
        return ""  # none runs here, or one of another fleet
    names = [
        peer.name
        for peer in picture.peers
        if not peer.is_asked and peer.state in _HERE and peer.key_used and not is_ready(peer)
    ]
    return f"{', '.join(names)} {'does' if len(names) == 1 else 'do'}" if names else ""
