"""GET /healthz, and the probe of the base address that agents make."""

from __future__ import annotations

from aiohttp import web

from ..health import ChildHealth, NodeHealth
from .context import MEMBERSHIP, NODE
from .replies import json_response


async def healthz(request: web.Request) -> web.Response:
    health = request.app[NODE].health
    word, loaded = describe(health), health.loaded
    return json_response(
        {
            "status": word,
            "engine": _child(health.engine),
            "text": _child(health.text),
            "model": health.model,
            "computes_in": loaded.computes_in if loaded else None,
            "memory": {part.name: part.num_bytes for part in loaded.memory} if loaded else {},
            "loading": health.loading,
            "live_requests": health.live_requests,
            "fleet_port": _fleet_port(request),
        },
        # Only one that takes no requests says so by its status: a child that failed is started
        # again by the next request, so that whoever stays away keeps it failing.
        status=503 if word == "draining" else 200,
    )


def _fleet_port(request: web.Request) -> int | None:
    """Where peers talk to this one: whoever knows only the API's address joins by it."""
    membership = request.app[MEMBERSHIP]
    reach = None if membership is None else membership.view.me.reach
    return None if reach is None else reach.port


async def root(_: web.Request) -> web.Response:
    return json_response({"service": "cortex", "api": "/v1"})


def describe(health: NodeHealth) -> str:
    """The peer in a word. A child that is not running starts when it is needed: that is well.

    One that could not run at all, or keeps dying, is not.
    """
    states = (health.engine.state, health.text.state)
    if health.is_draining:
        return "draining"
    if "failed" in states or "resting" in states:
        return "failing"
    return "starting" if "starting" in states else "ok"


def _child(child: ChildHealth) -> dict[str, object]:
    alive = child.last_alive
    return {
        "state": child.state,
        "pid": child.pid,
        "restarts": child.num_restarts,
        "last_end": child.last_end,
        "step_count": None if alive is None else alive.step_count,
        "queued": None if alive is None else alive.queued,
        "memory_bytes": None if alive is None else alive.memory_bytes,
    }
