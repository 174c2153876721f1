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

from cortex.engine.types import Event, Finished, Piece, ToolCallBegin

from ..dialects import openai_reply as reply
from ..dialects.openai import ParsedChat, parse_chat
from ..dialects.usage import UsageTally
from ..heavy import off_loop
from . import sse
from .answers import gather
from .context import ABOUT, INTAKE, NODE
from .errors import About
from .streaming import stream_reply


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
            parsed.return_token_ids,
        )
        async with aclosing(request.app[NODE].chat(parsed.request)) as events:
            if parsed.stream:
                return await _stream(request, parsed, head, events)
            return await _whole(parsed, head, events)


async def _parse(body: bytes) -> ParsedChat:
    now_s, random_seed = int(time.time()), secrets.randbits(63)
    return await off_loop(len(body), lambda: parse_chat(body, now_s=now_s, random_seed=random_seed))


async def _whole(
    parsed: ParsedChat, head: reply.ReplyHead, events: AsyncGenerator[Event]
) -> web.Response:
    num_choices = parsed.request.num_choices
    tally = UsageTally(num_choices)
    answers = await gather(events, num_choices, head.model)
    for answer in answers:
        tally.add(answer.finished)
    choices = [reply.render_choice(head, a.whole, a.finished.reason) for a in answers]
    return web.json_response(reply.render_reply(head, choices, tally.total), dumps=_dumps)


async def _stream(
    request: web.Request,
    parsed: ParsedChat,
    head: reply.ReplyHead,
    events: AsyncGenerator[Event],
) -> web.StreamResponse:
    num_choices = parsed.request.num_choices
    tally = UsageTally(num_choices)
    calling: set[int] = set()
    tells_tokens = parsed.return_token_ids or parsed.request.top_logprobs is not None

    def render(event: Piece | Finished) -> bytes:
        if isinstance(event, Piece):
            if any(isinstance(delta, ToolCallBegin) for delta in event.deltas):
                calling.add(event.choice)
            chunks = reply.piece_chunks(head, event, tells_tokens=tells_tokens)
            return b"".join(map(sse.data, chunks))
        tally.add(event)
        has_calls = event.choice in calling
        return sse.data(reply.finish_chunk(head, event.reason, event.choice, has_calls=has_calls))

    def close() -> bytes:
        return sse.data(reply.usage_chunk(head, tally.total)) if head.include_usage else b""

    opening = b"".join(sse.data(reply.role_chunk(head, index)) for index in range(num_choices))
    return await stream_reply(request, events, opening, render, close, tells_tokens=tells_tokens)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
