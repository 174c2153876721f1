"""The view of a peer that is in no fleet: itself, and what it knows without asking anybody."""

from __future__ import annotations

import os

from ..gossip.ids import ID_BYTES, ModelId, NodeId
from ..health import NodeHealth
from ..types import ModelInfo
from .view import FleetView, PeerState, PeerView, PlacedModel, PlacementState, StoredModel

# Who a peer is that is in no fleet.
NOBODY = NodeId(bytes(ID_BYTES))
_NO_WEIGHTS = ModelId(bytes(ID_BYTES))


def view_alone(
    name: str, api: str | None, health: NodeHealth, models: tuple[ModelInfo, ...]
) -> FleetView:
    by_id = {model.id: model for model in models}
    state: PeerState = "draining" if health.is_draining else "up"
    me = PeerView(
        NOBODY,
        gen=0,
        name=name,
        state=state,
        is_self=True,
        api=api,
        num_cores=os.cpu_count() or 0,
        stored=tuple(_stored(model) for model in models),
        placed=_placed(health, by_id),
    )
    return FleetView(fleet="", self_node=NOBODY, peers=(me,))


def _placed(health: NodeHealth, by_id: dict[str, ModelInfo]) -> tuple[PlacedModel, ...]:
    placed: list[PlacedModel] = []
    if (model := by_id.get(health.model or "")) is not None:
        placed.append(_place(model, "ready", health.loaded.computes_in if health.loaded else ""))
    if (model := by_id.get(health.loading or "")) is not None:
        placed.append(_place(model, "loading", ""))
    return tuple(placed)


def _place(model: ModelInfo, state: PlacementState, computes_in: str) -> PlacedModel:
    stored = _stored(model)
    return PlacedModel(
        stored.model,
        stored.id,
        state,
        stored.size_bytes,
        stored.context_tokens,
        computes_in,
    )


def _stored(model: ModelInfo) -> StoredModel:
    weights = ModelId(model.weights) if model.weights else _NO_WEIGHTS
    return StoredModel(
        weights,
        model.id,
        model.size_bytes,
        model.context_length,
        model.capabilities,
        model.created_s,
    )
