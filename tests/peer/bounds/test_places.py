"""How many requests a fleet answers at one time: one of these places is kept for who has a key."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.peer.bounds.places import places_of_fleet
from cortex.peer.fleet.view import FleetView, PeerView, PlacedModel, PlacementState
from cortex.peer.gossip.ids import ModelId, NodeId


def peer(number: int, *states: PlacementState, **changes: Any) -> PeerView:
    model = ModelId(b"weights1")
    placed = tuple(PlacedModel(model, "m", state, 1, 4096, num_slots=8) for state in states)
    fields: dict[str, Any] = {"state": "up", "is_self": False, "placed": placed}
    return PeerView(NodeId(bytes([number] * 8)), 1, f"p{number}", **(fields | changes))


def fleet(*others: PeerView) -> FleetView:
    me = peer(0, "ready", is_self=True)
    return FleetView("f", me.node, peers=(me, *others))


def test_places_of_the_others_are_those_of_what_they_have_loaded() -> None:
    others = (
        peer(1, "ready", "ready"),
        peer(2, "ready", "loading"),
        peer(3, roles=("gateway",)),
        peer(4, "ready", state="dead"),
        peer(5, "ready", state="draining"),
    )
    assert places_of_fleet(5, fleet(*others), unbounded=256) == 5 + 16 + 8
    assert places_of_fleet(5, fleet(), unbounded=256) == 5


@pytest.mark.parametrize("states", [(), ("loading",), ("unloading",)], ids=str)
def test_a_peer_that_has_nothing_loaded_counts_as_it_counts_itself(
    states: tuple[PlacementState, ...],
) -> None:
    assert places_of_fleet(0, fleet(peer(1, *states)), unbounded=256) == 256
    assert places_of_fleet(5, fleet(peer(1, *states)), unbounded=256) == 5 + 256


def test_a_gateway_that_has_heard_of_no_peer_yet_keeps_nobody_out() -> None:
    assert places_of_fleet(0, fleet(), unbounded=256) == 256
    assert places_of_fleet(0, fleet(peer(1, roles=("gateway",))), unbounded=256) == 256
