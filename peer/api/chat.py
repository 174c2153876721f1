"""POST /v1/chat/completions: a body in, an answer or a stream of it out.

Everything that can be refused is refused before the 200: headers go out with the accepted prompt.
The client's leaving cancels this handler, and closing the events cancels the work behind them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.types import Accepted, Event, Finished, Stage, TextDelta

from ..dialects import openai_reply as reply
from ..dialects.openai import ParsedChat, parse_chat
from ..heavy import off_loop
from ..progress import to_comment
from . import sse
from .context import ABOUT, INTAKE, NODE, about_error
from .errors import About, envelope

# Until the first token a stream says something at least every second; later it may rest longer.
_QUIET_BEFORE_TEXT_S = 0.8
_QUIET_AFTER_TEXT_S = 10.0


async def chat_completions(request: web.Request) -> web.StreamResponse:
    intake = request.app[INTAKE]
    encoding = request.headers.get("content-encoding")
    with intake.room_for(request.content_length, encoding) as room:
        parsed = await _parse(await room.read(request.content))
        request[ABOUT] = About(parsed.request.model)
        head = reply.ReplyHead(
            f"chatcmpl-{secrets.token_hex(12)}",
            parsed.request.now_s,
            parsed.request.model,
            parsed.include_usage,
        )
        async with aclosing(request.app[NODE].chat(parsed.request)) as events:
            if parsed.stream:
                return await _stream(request, head, events)
            return await _whole(parsed, head, events)


async def _parse(body: bytes) -> ParsedChat:
    now_s, random_seed = int(time.time()), secrets.randbits(63)
    return await off_loop(len(body), lambda: parse_chat(body, now_s=now_s, random_seed=random_seed))


async def _whole(
    parsed: ParsedChat, head: reply.ReplyHead, events: AsyncGenerator[Event]
) -> web.Response:
    pieces: list[str] = []
    async for event in events:
        if isinstance(event, TextDelta):
            pieces.append(event.text)
        elif isinstance(event, Finished):
            return web.json_response(
                reply.render_reply(head, "".join(pieces), event.reason, event.usage),
                dumps=_dumps,
            )
    raise EngineFailed(f"the answer of '{parsed.request.model}' broke off", "send it again")


async def _stream(
    request: web.Request, head: reply.ReplyHead, events: AsyncGenerator[Event]
) -> web.StreamResponse:
    accepted = await _until_accepted(events)
    response = web.StreamResponse(headers=sse.HEADERS)
    await response.prepare(request)
    write = sse.guarded(response.write, request.app[NODE].config.write_stall_s)
    await write(sse.comment(to_comment(accepted)) + sse.data(reply.role_chunk(head)))
    pace = sse.Pace(_QUIET_BEFORE_TEXT_S)
    last_wait = "keep-alive"
    try:
        async with aclosing(sse.paced(audible(events), pace)) as paced:
            async for event in paced:
                if isinstance(event, Stage):
                    last_wait = to_comment(event)
                if isinstance(event, TextDelta):
                    pace.quiet_s, last_wait = _QUIET_AFTER_TEXT_S, "keep-alive"
                await write(_render(head, event, last_wait))
    except CortexError as error:
        await write(sse.data(envelope(error, about_error(request, error))))
    await write(sse.DONE)
    await response.write_eof()
    return response


async def audible(events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """The events that a client hears of.

    Tokens that make no whole character yet are none: they do not break a silence.
    """
    async for event in events:
        is_empty = isinstance(event, TextDelta) and not event.text
        if not is_empty and not isinstance(event, Accepted):
            yield event


async def _until_accepted(events: AsyncGenerator[Event]) -> Accepted:
    async for event in events:
        if isinstance(event, Accepted):
            return event
    raise EngineFailed("the request ended before it was accepted", "send it again")


def _render(head: reply.ReplyHead, event: Event | None, last_wait: str) -> bytes:
    """One event as bytes; None, a silence, repeats what is being waited for."""
    match event:
        case TextDelta():
            return sse.data(reply.text_chunk(head, event.text))
        case Finished():
            chunks = sse.data(reply.finish_chunk(head, event.reason))
            if head.include_usage:
                chunks += sse.data(reply.usage_chunk(head, event.usage))
            return chunks
        case Accepted():
            return b""
        case Stage() | None:
            return sse.comment(last_wait)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
