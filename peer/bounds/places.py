"""How many requests a fleet answers at one time. Pure."""

from __future__ import annotations

from ..fleet.view import FleetView, PeerView


def places_of_fleet(here: int, view: FleetView, unbounded: int) -> int:
    """Those here, and those elsewhere by what the others have loaded. Who has nothing there counts
    as `unbounded`, as it counts itself (`Node.num_places`), and so does a fleet of gateways, or one
    of which nothing is known yet.
    """
    others = (peer for peer in view.peers if not peer.is_self and peer.takes_requests)
    answering = (peer for peer in others if "gateway" not in peer.roles)
    return here + sum(_places_at(peer) or unbounded for peer in answering) or unbounded


def _places_at(peer: PeerView) -> int:
    return sum(placed.num_slots for placed in peer.placed if placed.state == "ready")
