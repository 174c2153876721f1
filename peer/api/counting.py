"""POST /v1/messages/count_tokens: a prompt in, how many tokens it has out.

It needs no weights and no engine, waits in no queue, and is answered while the engines are busy.
"""

from __future__ import annotations

from aiohttp import web

from ..bounds.request_size import check_size
from ..dialects.messages.parse import parse_count
from .asking import read_asked, room_for
from .context import ABOUT, INGRESS, LIVE
from .errors import About
from .replies import json_response
from .terms import TERMS


async def count_tokens(request: web.Request) -> web.Response:
    with room_for(request) as room:
        asked = await read_asked(request, room, parse_count)
        request[ABOUT] = About(asked.model)
        check_size(asked, request[TERMS].limits)
        num_tokens = await request.app[INGRESS].count(asked, request[LIVE])
        return json_response({"input_tokens": num_tokens})
