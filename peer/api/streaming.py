"""A stream of events as a streamed reply: accepted first, never silent for long, errors told.

It knows no dialect: what an event looks like comes in as functions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from aiohttp import web

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.types import Accepted, Event, Finished, Piece, Stage

from ..progress import to_comment
from . import sse
from .context import NODE, about_error
from .errors import envelope

# Until the first token a stream says something at least every second; later it may rest longer.
_QUIET_BEFORE_TEXT_S = 0.8
_QUIET_AFTER_TEXT_S = 10.0


async def stream_reply(
    request: web.Request,
    events: AsyncGenerator[Event],
    opening: bytes,
    render: Callable[[Piece | Finished], bytes],
    closing: Callable[[], bytes],
    *,
    tells_tokens: bool,
) -> web.StreamResponse:
    """`closing` is asked once all choices have ended, for what comes before the last mark.

    With `tells_tokens` pieces that say nothing are told of too.
    """
    accepted = await _until_accepted(events)
    response = web.StreamResponse(headers=sse.HEADERS)
    await response.prepare(request)
    write = sse.guarded(response.write, request.app[NODE].config.write_stall_s)
    await write(sse.comment(to_comment(accepted)) + opening)
    pace = sse.Pace(_QUIET_BEFORE_TEXT_S)
    last_wait = "keep-alive"
    heard = audible(events, tells_tokens=tells_tokens)
    try:
        async with aclosing(sse.paced(heard, pace)) as paced:
            async for event in paced:
                match event:
                    case Stage():
                        last_wait = to_comment(event)
                        await write(sse.comment(last_wait))
                    case Piece():
                        pace.quiet_s, last_wait = _QUIET_AFTER_TEXT_S, "keep-alive"
                        await write(render(event))
                    case Finished():
                        await write(render(event))
                    case None:  # a silence: what is being waited for is said again
                        await write(sse.comment(last_wait))
                    case Accepted():
                        pass
        await write(closing())
    except CortexError as error:
        await write(sse.data(envelope(error, about_error(request, error))))
    await write(sse.DONE)
    await response.write_eof()
    return response


async def audible(
    events: AsyncGenerator[Event], *, tells_tokens: bool = False
) -> AsyncGenerator[Event]:
    """The events that a client hears of.

    Tokens that say nothing yet are none: they do not break a silence, unless the
    client wants to hear of tokens.
    """
    async for event in events:
        is_empty = isinstance(event, Piece) and not event.deltas and not tells_tokens
        if not is_empty and not isinstance(event, Accepted):
            yield event


async def _until_accepted(events: AsyncGenerator[Event]) -> Accepted:
    async for event in events:
        if isinstance(event, Accepted):
            return event
    raise EngineFailed("the request ended before it was accepted", "send it again")
