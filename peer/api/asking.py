"""The handler of every dialect: a body in, an answer or a stream of it out.

Everything that can be refused is refused before the 200: a stream's headers go out with the
accepted prompt. The client's leaving cancels this handler, and closing the events cancels the work
behind them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from cortex.engine.stream import Event
from cortex.engine.types import ChatRequest

from ..bounds.request_size import check_size
from ..dialects.asked import Arrival, Asked, Dialect, Teller
from ..dialects.routing import header_key
from ..heavy import off_loop
from ..wall_clock import utc_offset_s
from .access import API_KEY, is_member
from .answered_by import headers_of
from .answers import gather
from .context import ABOUT, FINGERPRINT, INGRESS, INTAKE, LIVE
from .errors import About
from .intake import Room
from .merging import merged
from .replies import json_text_response
from .streaming import stream_reply
from .terms import TERMS

T = TypeVar("T")
# Behind whoever comes in the five minutes after it: a request's priority falls while it waits.
_LAST_PRIORITY = 10


def answering(dialect: Dialect) -> Handler:
    """A handler that speaks this dialect."""

    async def answer(request: web.Request) -> web.StreamResponse:
        with room_for(request) as room:
            asked = await read_asked(request, room, dialect)
            model = asked.request.model
            request[ABOUT] = About(model)
            for one in asked.requests:
                check_size(one, request[TERMS].limits)
            request[LIVE].is_streamed = asked.is_streamed
            async with aclosing(_events(request, asked)) as events:
                if asked.is_streamed:
                    return await stream_reply(request, events, asked.teller)
                answers = await gather(events, _num_answers(asked), model)
                headers = headers_of(request[LIVE], is_whole=True)
                return json_text_response(asked.teller.whole(answers), headers=headers)

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
    now_s = int(time.time())
    return Arrival(
        now_s,
        secrets.randbits(63),
        secrets.token_hex(12),
        header_key(request.headers),
        request[TERMS].limits,
        request.app[FINGERPRINT],
        utc_offset_s(now_s),
    )


def _events(request: web.Request, asked: Asked[Teller]) -> AsyncGenerator[Event]:
    source = request.app[INGRESS]
    live = request[LIVE]
    requests = in_turn(request, asked.requests)
    if len(requests) == 1:
        return source.chat(requests[0], live)
    sources = [source.chat(one, live) for one in requests]
    return merged(sources, asked.request.num_choices)


def in_turn(request: web.Request, asked: Sequence[ChatRequest]) -> Sequence[ChatRequest]:
    """Where there are keys, whoever has none goes behind those who have one."""
    is_known = request.get(API_KEY) is not None or is_member(request)
    if is_known or request[TERMS].keyring.is_open:
        return asked
    return [replace(one, priority=max(one.priority, _LAST_PRIORITY)) for one in asked]


def _num_answers(asked: Asked[Teller]) -> int:
    return sum(one.num_choices for one in asked.requests)
