"""The handler of every dialect: a body in, an answer or a stream of it out.

Everything that can be refused is refused before the 200: a stream's headers go out with the
accepted prompt. The client's leaving cancels this handler, and closing the events cancels the work
behind them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from typing import TypeVar

from aiohttp import web

from cortex.engine.types import Event

from ..dialects.asked import Arrival, Asked, Dialect
from ..dialects.routing import header_key
from ..heavy import off_loop
from ..request_size import check_size
from .answered_by import headers_of
from .answers import gather
from .context import ABOUT, FINGERPRINT, INTAKE, LIVE, NODE, SOURCE
from .errors import About
from .intake import Room
from .merging import merged
from .replies import json_text_response
from .streaming import stream_reply

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answering(dialect: Dialect) -> Handler:
    """A handler that speaks this dialect."""

    async def answer(request: web.Request) -> web.StreamResponse:
        with room_for(request) as room:
            asked = await read_asked(request, room, dialect)
            model = asked.requests[0].model
            request[ABOUT] = About(model)
            for one in asked.requests:
                check_size(one, request.app[NODE].config.limits)
            request[LIVE].is_streamed = asked.is_streamed
            async with aclosing(_events(request, asked)) as events:
                if asked.is_streamed:
                    return await stream_reply(
                        request, events, asked.teller(), tells_tokens=asked.tells_tokens
                    )
                answers = await gather(events, _num_answers(asked), model)
                headers = headers_of(request[LIVE], is_whole=True)
                return json_text_response(asked.whole(answers), headers=headers)

    return answer


def room_for(request: web.Request) -> AbstractContextManager[Room]:
    """Room for the request's body, for as long as anything of it is needed."""
    encoding = request.headers.get("content-encoding")
    return request.app[INTAKE].room_for(request.content_length, encoding)


async def read_asked(request: web.Request, room: Room, parse: Callable[[bytes, Arrival], T]) -> T:
    """What the body asks, parsed; the body itself is kept nowhere."""
    return await _parsed(parse, await room.read(request.content), _arrival_of(request))


async def _parsed(parse: Callable[[bytes, Arrival], T], body: bytes, arrival: Arrival) -> T:
    return await off_loop(len(body), lambda: parse(body, arrival))


def _arrival_of(request: web.Request) -> Arrival:
    return Arrival(
        int(time.time()),
        secrets.randbits(63),
        secrets.token_hex(12),
        header_key(request.headers),
        request.app[NODE].config.limits,
        request.app[FINGERPRINT],
    )


def _events(request: web.Request, asked: Asked) -> AsyncGenerator[Event]:
    source = request.app[SOURCE]
    live = request[LIVE]
    if len(asked.requests) == 1:
        return source.chat(asked.requests[0], live)
    sources = [source.chat(one, live) for one in asked.requests]
    return merged(sources, asked.requests[0].num_choices)


def _num_answers(asked: Asked) -> int:
    return sum(one.num_choices for one in asked.requests)
