"""POST /v1/embeddings: texts in, a vector for each of them out.

Headers go out when the last vector is there: until then everything can still be refused.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from ..dialects.openai_embeddings import ParsedEmbeddings, parse_embeddings, reply_pieces
from ..heavy import off_loop
from . import sse
from .context import ABOUT, INTAKE, NODE
from .errors import About


async def embeddings(request: web.Request) -> web.StreamResponse:
    intake, node = request.app[INTAKE], request.app[NODE]
    encoding = request.headers.get("content-encoding")
    with intake.room_for(request.content_length, encoding) as room:
        parsed = await _parse(await room.read(request.content))
        model = parsed.requests[0].model
        request[ABOUT] = About(model)
        async with node.vectors(parsed.requests) as vectors:
            response = web.StreamResponse(headers={"content-type": "application/json"})
            await response.prepare(request)
            write = sse.guarded(response.write, node.config.write_stall_s)
            for piece in reply_pieces(model, vectors, is_base64=parsed.is_base64):
                await write(piece)
                await asyncio.sleep(0)  # a write that meets no resistance lets nobody else run
            await response.write_eof()
    return response


async def _parse(body: bytes) -> ParsedEmbeddings:
    now_s = int(time.time())
    return await off_loop(len(body), lambda: parse_embeddings(body, now_s=now_s))
