"""GET /fleet and /fleet/events: the fleet as this peer sees it, at one moment and as it changes.

A stream holds nothing back for a slow reader: whenever one can take more it gets what has become of
what it saw last.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

from aiohttp import web

from ..dialects import events as sse
from ..fleet.alone import view_alone
from ..fleet.membership import Membership
from ..fleet.rendering import ages, news, render_view
from ..fleet.view import FleetView
from .context import MEMBERSHIP, NODE
from .replies import json_response
from .streaming import HEADERS

# Whoever watches: each is woken by what happens, and told when the peer ends.
ONLOOKERS: web.AppKey[set[asyncio.Event]] = web.AppKey("onlookers")

# A stream speaks at least so often, so that its silence means that this peer is gone; and no
# oftener than that, however fast things change.
_BEAT_S = 1.0
_REST_S = 0.2


def set_up(app: web.Application) -> None:
    """Let streams end at once when the app does."""
    app[ONLOOKERS] = set()
    app.on_shutdown.append(_dismiss)


async def _dismiss(app: web.Application) -> None:
    onlookers = set(app[ONLOOKERS])
    app[ONLOOKERS].clear()
    for changed in onlookers:
        changed.set()


async def fleet(request: web.Request) -> web.Response:
    seen = await _seen(request)
    return json_response(render_view(seen(), asyncio.get_running_loop().time()))


async def fleet_events(request: web.Request) -> web.StreamResponse:
    seen = await _seen(request)
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    # Whoever asks for the head of the reply must not get words behind it.
    if request.method != "HEAD":
        with _watching(request) as changed:
            await _tell(request, response, seen, changed)
    return response


async def _tell(
    request: web.Request,
    response: web.StreamResponse,
    seen: Callable[[], FleetView],
    changed: asyncio.Event,
) -> None:
    clock = asyncio.get_running_loop().time
    told = render_view(seen(), clock())
    aged_s = clock()
    await response.write(sse.named("snapshot", told))
    while True:
        await asyncio.sleep(_REST_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(aged_s + _BEAT_S):
                await changed.wait()
        if changed not in request.app[ONLOOKERS]:
            return
        changed.clear()
        before, told = told, render_view(seen(), clock())
        chunk = b"".join(sse.named(name, what) for name, what in news(before, told))
        if clock() >= aged_s + _BEAT_S:
            aged_s = clock()
            chunk += sse.named("ages", ages(told))
        if chunk:
            await response.write(chunk)


@contextmanager
def _watching(request: web.Request) -> Generator[asyncio.Event]:
    """Set at each change; no longer among the onlookers when the peer ends."""
    changed = asyncio.Event()
    membership, onlookers = request.app[MEMBERSHIP], request.app[ONLOOKERS]
    onlookers.add(changed)
    end = membership.watch(lambda _: changed.set()) if membership is not None else None
    try:
        yield changed
    finally:
        onlookers.discard(changed)
        if end is not None:
            end()


async def _seen(request: web.Request) -> Callable[[], FleetView]:
    """How to see what is true now."""
    membership: Membership | None = request.app[MEMBERSHIP]
    if membership is not None:
        return lambda: membership.view
    node = request.app[NODE]
    models = await node.models()
    name, api = socket.gethostname(), request.host
    return lambda: view_alone(name, api, node.health, node.placement, models)
