"""GET /v1/models and /v1/models/{id}: one object that both official clients accept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from ..types import ModelInfo, Whereabouts
from ..units import rounded
from .capabilities import render_capabilities
from .context import ABOUT, INGRESS, speaks_messages
from .errors import About
from .replies import json_response


async def list_models(request: web.Request) -> web.Response:
    models = await request.app[INGRESS].models()
    for_messages = speaks_messages(request)
    return json_response(
        {
            "object": "list",
            "has_more": False,
            "first_id": models[0].id if models else None,
            "last_id": models[-1].id if models else None,
            "data": [render_model(model, for_messages) for model in models],
        }
    )


async def show_model(request: web.Request) -> web.Response:
    model_id = request.match_info["id"]
    request[ABOUT] = About(model_id)
    model = await request.app[INGRESS].model(model_id)
    return json_response(render_model(model, speaks_messages(request)))


def render_model(model: ModelInfo, for_messages: bool) -> dict[str, Any]:
    created = datetime.fromtimestamp(model.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_s,
        "owned_by": "cortex",
        "type": "model",
        "display_name": model.id,
        "created_at": created,
        "lifecycle": "active",
        "capabilities": (render_capabilities(model) if for_messages else list(model.capabilities)),
        "context_length": model.context_length,
        "max_input_tokens": model.context_length,
        "max_tokens": model.context_length,
        "size_bytes": model.size_bytes,
        "weights": model.weights.hex() or None,
        "where": [_render_whereabouts(one) for one in model.where],
    }


def _render_whereabouts(one: Whereabouts) -> dict[str, Any]:
    eta_s = rounded(one.eta_s)
    return {"peer": one.peer, "state": one.state, "eta_s": eta_s, "pinned": one.is_pinned}
