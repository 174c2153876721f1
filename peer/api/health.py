"""GET /healthz and /readyz, and the probe of the base address that agents make."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from ..observing.health import ChildHealth, NodeHealth, Placed
from ..placement.books import DeviceBooks
from .context import MEMBERSHIP, NODE
from .replies import json_response


async def healthz(request: web.Request) -> web.Response:
    node = request.app[NODE]
    health, placement = node.health, node.placement
    word = describe(health)
    return json_response(
        {
            "status": word,
            "engines": [
                {"device": device.name, "budget_bytes": device.budget_bytes, **_child(engine)}
                for device, engine in zip(placement.devices, health.engines, strict=True)
            ],
            "text": _child(health.text),
            "models": [_placed(each, placement.devices) for each in placement.placed],
            "live_requests": len(node.live),
            "fleet_port": _fleet_port(request),
        },
        # Only one that takes no requests says so by its status: a child that failed is started
        # again by the next request, so that whoever stays away keeps it failing.
        status=503 if word == "draining" else 200,
    )


async def readyz(request: web.Request) -> web.Response:
    """Whether requests sent here can be answered: by this peer, or by another."""
    peers = request.app[MEMBERSHIP].view.peers
    if request.app[NODE].health.is_draining:
        word = "draining"
    else:
        has_models = any(peer.takes_requests and peer.stored for peer in peers)
        word = "ready" if has_models else "no models"
    return json_response({"status": word}, status=200 if word == "ready" else 503)


def _fleet_port(request: web.Request) -> int | None:
    """Where peers talk to this one: whoever knows only the API's address joins by it."""
    reach = request.app[MEMBERSHIP].view.me.reach
    return None if reach is None else reach.port


async def root(_: web.Request) -> web.Response:
    return json_response({"service": "cortex", "api": "/v1"})


def describe(health: NodeHealth) -> str:
    """The peer in a word. A child that is not running starts when it is needed: that is well.

    One that could not run at all, or keeps dying, is not.
    """
    children = (*health.engines, health.text)
    if health.is_draining:
        return "draining"
    if any(child.is_failing for child in children):
        return "failing"
    return "starting" if any(child.state == "starting" for child in children) else "ok"


def _placed(placed: Placed, devices: Sequence[DeviceBooks]) -> dict[str, object]:
    loaded = placed.loaded
    return {
        "id": placed.model.id,
        "device": devices[placed.device].name,
        "state": placed.state,
        "reserved_bytes": placed.size.num_bytes,
        "computes_in": loaded.computes_in if loaded else None,
        "memory": {part.name: part.num_bytes for part in loaded.memory} if loaded else {},
    }


def _child(child: ChildHealth) -> dict[str, object]:
    alive = child.last_alive
    return {
        "state": child.state,
        "pid": child.pid,
        "restarts": child.num_restarts,
        "last_end": child.last_end,
        "step_count": None if alive is None else alive.step_count,
        "queued": None if alive is None else alive.queued,
        "weight_bytes": None if alive is None else alive.weight_bytes,
    }
