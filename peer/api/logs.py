"""GET /logs: what a peer has logged of late, and with ?follow=1 what it logs from then on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from cortex.engine.errors import CortexError

from ..dialects import events as sse
from ..dialects.decoding import refuse
from ..errors import to_info
from ..fleet.view import PeerView
from ..observing.log_ring import LogLine, LogPage
from ..onlooker.log_lines import LEVELS
from ..orders.control import Control
from ..orders.facts import ReadLog
from .context import CONTROL
from .job_rendering import render_error
from .onlookers import Onlooker, onlooking
from .queries import is_asked
from .replies import json_response
from .streaming import HEADERS

_SINCE_S = 600.0
_MAX_SINCE_S = 10 * 365 * 86_400.0
# A follower hears of new lines so soon, and of nothing so often.
_LOOK_S = 0.4
# Of one peer's lines in one reply.
_MOST_BYTES = 4 * 1024 * 1024


async def logs(request: web.Request) -> web.StreamResponse:
    control = request.app[CONTROL]
    age_s = _since_s(request)
    order = ReadLog(0, time.time() - age_s, _level(request), age_s)
    peer = control.peer(request.query.get("peer"))
    if not is_asked(request, "follow"):
        return json_response(await _whole(control, peer, order))
    page = await control.log(peer, order)
    response = web.StreamResponse(headers=HEADERS)
    with onlooking(request) as onlooker:
        await response.prepare(request)
        if request.method != "HEAD":
            await _follow(control, peer, order, page, response, onlooker)
    return response


async def _whole(control: Control, peer: PeerView, order: ReadLog) -> dict[str, Any]:
    lines: list[LogLine] = []
    skipped, num_bytes = 0, 0
    while True:
        page = await control.log(peer, order)
        lines += page.lines
        skipped += page.skipped
        num_bytes += sum(line.size_bytes for line in page.lines)
        # No peer keeps so much: what says otherwise is not heard out.
        if page.is_last or page.last <= order.after or num_bytes > _MOST_BYTES:
            break
        order = _next(order, page)
    return {"peer": peer.name, "skipped": skipped, "lines": [_render(line) for line in lines]}


async def _follow(
    control: Control,
    peer: PeerView,
    order: ReadLog,
    page: LogPage,
    response: web.StreamResponse,
    onlooker: Onlooker,
) -> None:
    """Whoever reads slowly asks for the next page later, and is told what has gone by then."""
    while not onlooker.is_dismissed:
        told = [sse.named("skipped", {"count": page.skipped})] if page.skipped else []
        told += [sse.named("line", _render(line)) for line in page.lines]
        await response.write(b"".join(told) or sse.KEEP_ALIVE)
        if page.is_last or page.last <= order.after:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await onlooker.news.wait()
        order = _next(order, page)
        try:
            page = await control.log(peer, order)
        except CortexError as error:
            await response.write(sse.named("error", {"error": render_error(to_info(error))}))
            return


def _next(order: ReadLog, page: LogPage) -> ReadLog:
    """Behind a page its number says it all: by age, lines would grow too old unasked."""
    return replace(order, after=page.last, since_s=0.0, age_s=None)


def _render(line: LogLine) -> dict[str, Any]:
    return {
        "time": round(line.time_s, 3),
        "level": line.level,
        "source": line.source,
        "text": line.text,
    }


def _since_s(request: web.Request) -> float:
    text = request.query.get("since_s", str(_SINCE_S))
    with contextlib.suppress(ValueError):
        if 0 <= (since_s := float(text)) <= _MAX_SINCE_S:
            return since_s
    refuse("since_s", f"{text[:40]!r} is no number of seconds", "ask with since_s=600")


def _level(request: web.Request) -> str:
    level = request.query.get("level", "info")
    if level not in LEVELS:
        refuse("level", f"{level[:40]!r} is no level", f"ask with one of {', '.join(LEVELS)}")
    return level
