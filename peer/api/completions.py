"""POST /v1/completions: prompts in, their plain continuations or a stream of them out.

As in chat, what can be refused is refused before the 200, for all prompts of a body together.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from cortex.engine.types import Event, Finished, Piece

from ..dialects.openai_completions import ParsedCompletion, parse_completion
from ..dialects.openai_completions_reply import CompletionReply
from ..dialects.openai_reply import ReplyHead
from ..dialects.usage import UsageTally
from ..heavy import off_loop
from . import sse
from .answers import gather
from .context import ABOUT, INTAKE, NODE
from .errors import About
from .merging import merged
from .streaming import stream_reply


async def completions(request: web.Request) -> web.StreamResponse:
    intake = request.app[INTAKE]
    encoding = request.headers.get("content-encoding")
    with intake.room_for(request.content_length, encoding) as room:
        parsed = await _parse(await room.read(request.content))
        first = parsed.requests[0]
        request[ABOUT] = About(first.model)
        head = ReplyHead(
            f"cmpl-{secrets.token_hex(12)}",
            first.now_s,
            first.model,
            parsed.include_usage,
            parsed.return_token_ids,
        )
        asked = [request.app[NODE].chat(one) for one in parsed.requests]
        async with aclosing(merged(asked, first.num_choices)) as events:
            if parsed.stream:
                return await _stream(request, parsed, head, events)
            return await _whole(parsed, head, events)


async def _parse(body: bytes) -> ParsedCompletion:
    now_s, random_seed = int(time.time()), secrets.randbits(63)
    return await off_loop(
        len(body), lambda: parse_completion(body, now_s=now_s, random_seed=random_seed)
    )


async def _whole(
    parsed: ParsedCompletion, head: ReplyHead, events: AsyncGenerator[Event]
) -> web.Response:
    num_choices = parsed.requests[0].num_choices
    reply, tally = CompletionReply(head), UsageTally(num_choices)
    answers = await gather(events, len(parsed.requests) * num_choices, head.model)
    for answer in answers:
        tally.add(answer.finished)
    choices = [reply.piece(answer.whole, answer.finished.reason) for answer in answers]
    return web.json_response(reply.whole(choices, tally.total), dumps=_dumps)


async def _stream(
    request: web.Request,
    parsed: ParsedCompletion,
    head: ReplyHead,
    events: AsyncGenerator[Event],
) -> web.StreamResponse:
    first = parsed.requests[0]
    reply, tally = CompletionReply(head), UsageTally(first.num_choices)

    def render(event: Piece | Finished) -> bytes:
        if isinstance(event, Piece):
            return sse.data(reply.chunk(reply.piece(event)))
        tally.add(event)
        end = Piece((), choice=event.choice)
        return sse.data(reply.chunk(reply.piece(end, event.reason)))

    def close() -> bytes:
        return sse.data(reply.usage_chunk(tally.total)) if head.include_usage else b""

    tells_tokens = parsed.return_token_ids or first.top_logprobs is not None
    return await stream_reply(request, events, b"", render, close, tells_tokens=tells_tokens)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
