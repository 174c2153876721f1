"""POST /v1/messages/count_tokens: a prompt in, how many tokens it has out.

It needs no weights and no engine, waits in no queue, and is answered while the engines are busy.
"""

from __future__ import annotations

from aiohttp import web

from cortex.engine.types import ChatRequest

from ..dialects.messages.parse import parse_count
from ..dialects.messages.shapes import TokenCount
from ..heavy import off_loop
from ..request_size import check_size
from .asking import arrival_of
from .context import ABOUT, INTAKE, LIVE, NODE
from .errors import About
from .replies import json_response


async def count_tokens(request: web.Request) -> web.Response:
    encoding = request.headers.get("content-encoding")
    with request.app[INTAKE].room_for(request.content_length, encoding) as room:
        asked = await _parse(request, await room.read(request.content))
        request[ABOUT] = About(asked.model)
        check_size(asked, request.app[NODE].config.limits)
        return json_response(TokenCount(await request.app[NODE].count(asked, request[LIVE])))


async def _parse(request: web.Request, body: bytes) -> ChatRequest:
    arrival = arrival_of(request)
    return await off_loop(len(body), lambda: parse_count(body, arrival))
