"""GET /models: every model of the fleet, where it is in an engine and where only on a disk."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from ..fleet.rendering import render_placed
from ..fleet.view import FleetView, PeerView, PlacedModel
from ..gossip.ids import ModelId
from ..models.names import ModelNames
from ..placement.ages import least_age_s
from ..routing.catalogue import Eta, FleetModel
from ..units import rounded
from .context import CONTROL, NODE
from .replies import json_response


async def list_models(request: web.Request) -> web.Response:
    control, node = request.app[CONTROL], request.app[NODE]
    models, view = await control.models(), control.view
    idle_s = {placed.model.id: placed.idle_s for placed in node.placement.placed}
    told = render_models(
        models, view, node.history.eta_s, node.config.names, own_idle_s=idle_s, now_s=time.time()
    )
    return json_response({"models": told})


def render_models(
    models: Sequence[FleetModel],
    view: FleetView,
    eta_s: Eta,
    names: ModelNames,
    *,
    own_idle_s: Mapping[str, float],
    now_s: float,
) -> list[dict[str, Any]]:
    """`own_idle_s` is how long each model of this peer's engines has been idle, by its id; of other
    peers' it is known about.
    """
    in_engines: dict[ModelId, list[tuple[PeerView, PlacedModel]]] = defaultdict(list)
    for peer in view.peers:
        for placed in () if peer.is_gone else peer.placed:
            in_engines[placed.model].append((peer, placed))
    return [
        {
            "id": model.id,
            "weights": model.weights.hex() or None,
            "aliases": [alias for alias, meant in names.aliases.items() if meant == model.id],
            "size_bytes": model.size_bytes,
            "context_tokens": model.context_tokens,
            "capabilities": list(model.capabilities),
            "warm": [
                _placed(placed, peer, own_idle_s.get(placed.id) if peer.is_self else None, now_s)
                for peer, placed in in_engines[model.weights]
            ],
            "cold": list(_cold(model, view, eta_s)),
        }
        for model in models
    ]


def _placed(
    placed: PlacedModel, peer: PeerView, own_idle_s: float | None, now_s: float
) -> dict[str, Any]:
    busy = None if peer.load is None else peer.load.of(placed.model)
    idle_s = own_idle_s
    if idle_s is None and busy is not None and placed.state == "ready":
        idle_s = least_age_s(busy.idle_step)
    return {
        "peer": peer.name,
        **render_placed(placed, peer.load),
        "idle_s": rounded(idle_s),
        "last_used": None if idle_s is None else round(now_s - idle_s),
    }


def _cold(model: FleetModel, view: FleetView, eta_s: Eta) -> Iterator[dict[str, Any]]:
    whole_s = rounded(eta_s(model.weights, model.size_bytes))
    for holder in model.holders:
        peer = view.peer(holder.node)
        if peer is None or peer.is_gone:
            continue
        if all(placed.model != model.weights for placed in peer.placed):
            yield {"peer": peer.name, "eta_s": whole_s}
