"""GET /fleet and /fleet/events: the fleet as this peer sees it, at one moment and as it changes;
and one of its peers closely, as that one tells it.

A stream holds nothing back for a slow reader: whenever one can take more it gets what has become of
what it saw last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web

from ..dialects import events as sse
from ..fleet.rendering import Rendered, Renderer
from ..orders.gathering import Gathering, Listener, Told
from .context import CONTROL, MEMBERSHIP
from .onlookers import Onlooker, onlooking
from .replies import json_response
from .streaming import HEADERS

_GATHERING = web.AppKey("gathering", Gathering)
_RENDERER = web.AppKey("renderer", Renderer)

# A stream speaks at least so often, so that its silence means that this peer is gone; and no
# oftener than that, however fast things change.
_BEAT_S = 1.0
_REST_S = 0.2


def set_up(app: web.Application) -> None:
    app[_RENDERER] = Renderer()
    app.cleanup_ctx.append(_gather)


async def _gather(app: web.Application) -> AsyncGenerator[None]:
    app[_GATHERING] = gathering = Gathering(app[CONTROL])
    yield
    await gathering.close()


async def fleet(request: web.Request) -> web.Response:
    return json_response(_rendered(request.app).whole(asyncio.get_running_loop().time()))


async def fleet_peer(request: web.Request) -> web.Response:
    """One peer closely, by its name or node. Asked of the peer itself."""
    facts = await request.app[CONTROL].facts(request.match_info["name"])
    told: dict[str, Any] = msgspec.to_builtins(facts)
    del told["type"]  # which peers tell messages apart by
    return json_response(told)


async def fleet_events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers=HEADERS)
    with (
        _watching(request) as onlooker,
        request.app[_GATHERING].listening(onlooker.news.set) as listener,
    ):
        await response.prepare(request)
        # Whoever asks for the head of the reply must not get words behind it.
        if request.method != "HEAD":
            await _tell(response, request.app, onlooker, listener)
    return response


async def _tell(
    response: web.StreamResponse,
    app: web.Application,
    onlooker: Onlooker,
    listener: Listener,
) -> None:
    clock = asyncio.get_running_loop().time
    told = _rendered(app)
    aged_s = clock()
    await response.write(sse.named("snapshot", told.whole(aged_s)))
    while True:
        await asyncio.sleep(_REST_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(aged_s + _BEAT_S):
                await onlooker.news.wait()
        if onlooker.is_dismissed:
            return
        onlooker.news.clear()
        before, told = told, _rendered(app)
        chunk = b"".join(sse.named(name, what) for name, what in told.news(before, clock()))
        chunk += b"".join(sse.named("happening", _happening(each)) for each in listener.take())
        if clock() >= aged_s + _BEAT_S:
            aged_s = clock()
            chunk += sse.named("ages", told.ages(aged_s))
        if chunk:
            await response.write(chunk)


def _rendered(app: web.Application) -> Rendered:
    return app[_RENDERER].render(app[MEMBERSHIP].view)


@contextmanager
def _watching(request: web.Request) -> Generator[Onlooker]:
    """Woken at each change of the fleet."""
    with onlooking(request) as onlooker:
        end = request.app[MEMBERSHIP].watch(lambda _: onlooker.news.set())
        try:
            yield onlooker
        finally:
            end()


def _happening(told: Told) -> dict[str, Any]:
    one = told.happening
    return {
        "time": round(one.time_s, 3),
        "peer": told.peer,
        "what": one.what,
        "model": one.model or None,
        "text": one.text,
    }
