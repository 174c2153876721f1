"""A stream of events as a streamed reply: accepted first, never silent for long, errors told.

Where nobody takes the request for a while the reply begins before that: what it is refused with
then is told in the stream, and so is what the dialect's clients know there alone. It knows no
dialect: a teller says what an event looks like.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from aiohttp import web

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.stream import Accepted, Began, Event, Finished, Piece, Stage

from ..client.progress import AnsweredBy, to_comment
from ..dialects import events as sse
from ..dialects.asked import Teller
from ..observing.live import LiveRequest
from .ahead import Ahead
from .answered_by import headers_of
from .context import LIVE, told
from .pulse import Pulse

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
# Until the first token a stream says something at least every second; later it may rest longer.
_QUIET_BEFORE_TEXT_S = 0.8
_QUIET_AFTER_TEXT_S = 10.0
# The head of a reply waits so long for the word whether the model was there, which comes at once
# but where an engine is busy.
_HEAD_S = 0.25


async def stream_reply(
    request: web.Request, events: AsyncGenerator[Event], teller: Teller
) -> web.StreamResponse:
    live = request[LIVE]
    async with Ahead(events) as ahead:
        try:
            first: Accepted | Stage | CortexError = await _until_begun(ahead)
        except teller.told_in_stream as refusal:
            first = refusal
        if isinstance(first, Accepted):
            await ahead.look(_HEAD_S, _says_how_it_starts)
        return await _replied(request, live, first, ahead, teller)


async def _replied(
    request: web.Request,
    live: LiveRequest,
    first: Accepted | Stage | CortexError,
    events: Ahead,
    teller: Teller,
) -> web.StreamResponse:
    with live.shielded():
        response = web.StreamResponse(headers=HEADERS | headers_of(live, is_whole=False))
        await response.prepare(request)
        with Pulse(response, lambda: sse.KEEP_ALIVE, _QUIET_BEFORE_TEXT_S) as pulse:
            try:
                async with live.cancellable():
                    if isinstance(first, CortexError):
                        raise first
                    await _tell(first, live, teller, pulse)
                    async for event in events:
                        await _tell(event, live, teller, pulse)
                ending = teller.close()
            except CortexError as error:
                failure = told(request, error)
                live.failed(failure.code, failure.status)
                ending = teller.fail(failure)
            await pulse.write(ending)
        await response.write_eof()
    return response


async def _tell(event: Event, live: LiveRequest, teller: Teller, pulse: Pulse) -> None:
    match event:
        case Accepted():
            pulse.keep_alive = teller.keep_alive
            await pulse.write(sse.comment(to_comment(event)) + teller.open(event))
        case Piece():
            if event.deltas or teller.tells_tokens:  # else it breaks no silence
                pulse.quiet_s = _QUIET_AFTER_TEXT_S
                await pulse.write(teller.tell(event))
        case Finished():
            await pulse.write(teller.tell(event))
        case Stage():
            await pulse.remark(sse.comment(to_comment(event)))
        case Began():
            if live.host:
                await pulse.remark(sse.comment(to_comment(AnsweredBy(live.host))))


async def _until_begun(events: Ahead) -> Accepted | Stage:
    """What the reply begins with: the accepted prompt, or the word that nobody has taken it yet."""
    async for event in events:
        if isinstance(event, Accepted) or (isinstance(event, Stage) and _has_no_host(event)):
            return event
    raise EngineFailed("the request ended before it was accepted", "send it again")


def _says_how_it_starts(event: Event) -> bool:
    return not (isinstance(event, Stage) and event.name == "queued")


def _has_no_host(stage: Stage) -> bool:
    """A host that has taken it says at which place it waits."""
    return stage.name == "queued" and not stage.total
