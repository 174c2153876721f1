"""POST /v1/embeddings: texts in, a vector for each of them out.

Headers go out when the last vector is there: until then everything can still be refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web

from ..dialects.embeddings.parse import parse_embeddings, reply_pieces
from .answered_by import headers_of
from .asking import in_turn, read_asked, room_for
from .context import ABOUT, INGRESS, LIVE
from .errors import About


async def embeddings(request: web.Request) -> web.StreamResponse:
    source = request.app[INGRESS]
    with room_for(request) as room:
        asked = await read_asked(request, room, parse_embeddings)
        model = asked.requests[0].model
        request[ABOUT] = About(model)
        live = request[LIVE]
        async with source.vectors(in_turn(request, asked.requests), live) as vectors:
            with live.shielded():
                return await _send(request, reply_pieces(model, vectors, is_base64=asked.is_base64))


async def _send(request: web.Request, pieces: Iterable[bytes]) -> web.StreamResponse:
    headers = headers_of(request[LIVE], is_whole=True)
    response = web.StreamResponse(headers={"content-type": "application/json"} | headers)
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(0)  # a write that meets no resistance lets nobody else run
    await response.write_eof()
    return response
