"""Routes that look at what a peer is doing, and steer it. Who may is decided before."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ..errors import RequestNotFound
from ..live import LiveRequest
from .context import NODE
from .replies import json_response


async def list_requests(request: web.Request) -> web.Response:
    now_s = asyncio.get_running_loop().time()
    live = [_render(one, now_s) for one in request.app[NODE].live]
    return json_response({"requests": live})


async def cancel_request(request: web.Request) -> web.Response:
    """Answers when the request has been told; it ends a moment later."""
    request_id = request.match_info["id"]
    live = request.app[NODE].live.get(request_id)
    if live is None:
        raise RequestNotFound(
            f"no request '{request_id[:80]}' is under way", "GET /requests lists those that are"
        )
    live.cancel()
    return json_response({"id": live.id, "status": "cancelled"})


async def drain(request: web.Request) -> web.Response:
    """Take nothing new from now on; what is under way goes on. Only a restart undoes it."""
    node = request.app[NODE]
    node.begin_drain()
    answer = {"status": "draining", "live_requests": node.health.live_requests}
    return json_response(answer, status=202)


def _render(live: LiveRequest, now_s: float) -> dict[str, Any]:
    return {
        "id": live.id,
        "model": live.model_id,
        "dialect": live.dialect,
        "key": live.key_name,
        **_stage_of(live),
        "prompt_tokens": live.prompt_tokens,
        "completion_tokens": live.completion_tokens,
        "seconds": round(now_s - live.began_s, 3),
    }


def _stage_of(live: LiveRequest) -> dict[str, Any]:
    if live.stage is None:
        return {"stage": "decode" if live.first_token_s is not None else "reading"}
    told: dict[str, Any] = {"stage": live.stage.name}
    if live.stage.total or live.stage.done:
        told |= {"done": live.stage.done, "total": live.stage.total, "unit": live.stage.unit}
    return told
