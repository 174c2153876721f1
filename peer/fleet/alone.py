"""The view of a peer that is in no fleet: itself, and what it knows without asking anybody."""

from __future__ import annotations

import os

from ..gossip.ids import ID_BYTES, NodeId
from ..observing.health import NodeHealth, Placed, Placement
from ..types import ModelInfo
from .own_state import stored_model
from .view import DeviceView, FleetView, PeerState, PeerView, PlacedModel

# Who a peer is that is in no fleet.
NOBODY = NodeId(bytes(ID_BYTES))


def view_alone(
    name: str,
    api: str | None,
    health: NodeHealth,
    placement: Placement,
    models: tuple[ModelInfo, ...],
) -> FleetView:
    state: PeerState = "draining" if health.is_draining else "up"
    me = PeerView(
        NOBODY,
        gen=0,
        name=name,
        state=state,
        is_self=True,
        api=api,
        num_cores=os.cpu_count() or 0,
        devices=tuple(
            DeviceView(device.name, device.budget_bytes, max(device.free_bytes, 0))
            for device in placement.devices
        ),
        stored=tuple(stored_model(model) for model in models),
        placed=tuple(_placed(each) for each in placement.placed),
    )
    return FleetView(fleet="", self_node=NOBODY, peers=(me,))


def _placed(placed: Placed) -> PlacedModel:
    stored, loaded = stored_model(placed.model), placed.loaded
    return PlacedModel(
        stored.model,
        stored.id,
        placed.state,
        stored.size_bytes,
        placed.size.context_tokens,
        "" if loaded is None else loaded.computes_in,
        device=placed.device,
        reserved_bytes=placed.size.num_bytes,
        num_slots=0 if loaded is None else loaded.num_slots,
        is_pinned=placed.is_pinned,
        priority=placed.priority,
    )
