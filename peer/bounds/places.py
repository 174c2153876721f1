"""How many requests the rest of a fleet answers at one time. Pure."""

from __future__ import annotations

from ..fleet.view import FleetView, PeerView


def places_elsewhere(view: FleetView) -> int:
    """By what the others have loaded; who has nothing there would load it for one at least."""
    others = (peer for peer in view.peers if not peer.is_self and peer.takes_requests)
    return sum(max(_places_at(peer), 1) for peer in others if peer.devices)


def _places_at(peer: PeerView) -> int:
    return sum(placed.num_slots for placed in peer.placed if placed.state == "ready")
