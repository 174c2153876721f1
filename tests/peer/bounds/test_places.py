"""How many requests a fleet answers at one time: one of these places is kept for who has a key."""

from __future__ import annotations

from typing import Any

from cortex.peer.bounds.places import places_elsewhere
from cortex.peer.fleet.view import DeviceView, FleetView, PeerView, PlacedModel, PlacementState
from cortex.peer.gossip.ids import ModelId, NodeId

DEVICES = (DeviceView("cuda:0", 1 << 30),)


def peer(number: int, *states: PlacementState, **changes: Any) -> PeerView:
    model = ModelId(b"weights1")
    placed = tuple(PlacedModel(model, "m", state, 1, 4096, num_slots=8) for state in states)
    fields: dict[str, Any] = {"state": "up", "is_self": False, "devices": DEVICES, "placed": placed}
    return PeerView(NodeId(bytes([number] * 8)), 1, f"p{number}", **(fields | changes))


def test_places_of_the_others_are_those_of_what_they_have_loaded() -> None:
    me = peer(0, "ready", is_self=True)
    others = (
        peer(1, "ready", "ready"),
        peer(2, "loading"),
        peer(3, devices=()),
        peer(4, "ready", state="dead"),
        peer(5, "ready", state="draining"),
    )
    assert places_elsewhere(FleetView("f", me.node, peers=(me, *others))) == 17
    assert places_elsewhere(FleetView("f", me.node, peers=(me,))) == 0
