"""Each request for an answer, from its coming to its end: listed while it lasts, logged and counted
after it.

The line has ids and counts, and never a word that a client wrote, but for an id of its own that is
too plain to carry one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Generator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from ..bounds.allowance import Allowances
from ..config import REQUEST_LOG
from ..observing.live import LiveRequest
from .access import API_KEY, is_member, key_name
from .context import LIVE, NODE, REQUEST_ID
from .metrics import COUNTING, REPLIES, dialect_of

logger = logging.getLogger(REQUEST_LOG)

ALLOWANCES = web.AppKey("allowances", Allowances)

_PLAIN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# What a client that leaves before the reply's end is told of under: nginx' word for it.
_CLIENT_LEFT = 499


@web.middleware
async def logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around the errors' middleware: it sees what the client gets. Other requests pass by."""
    dialect = dialect_of(request)
    if dialect is None:
        return await handler(request)
    clock = asyncio.get_running_loop().time
    live = LiveRequest(request[REQUEST_ID], dialect, "-", clock())
    request[LIVE] = live
    status = 500
    try:
        with request.app[NODE].live.entered(live):
            response = await handler(request)
        status = response.status
        return response
    except (asyncio.CancelledError, ConnectionError):
        status = _CLIENT_LEFT
        live.left()
        raise
    finally:
        now_s = clock()
        request.app[REPLIES].ended(live, status, now_s)
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", describe(live, status, client_id(request), now_s))


@web.middleware
async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Inside the errors' middleware, once it is known whose request it is."""
    live = request.get(LIVE)
    if live is None:
        return await handler(request)
    live.key_name = key_name(request)
    with _within_allowance(request, live):
        async with live.cancellable():
            return await handler(request)


@contextmanager
def _within_allowance(request: web.Request, live: LiveRequest) -> Generator[None]:
    """A count of tokens costs no device anything, and is not held up by what does."""
    if live.dialect == COUNTING:
        yield
        return
    key = request.get(API_KEY)
    with request.app[ALLOWANCES].request(key, is_member=is_member(request)) as allowance:
        try:
            yield
        finally:
            allowance.spend(live.spent_tokens)


def describe(live: LiveRequest, status: int, clients_id: str, now_s: float) -> str:
    evicted = ",".join(map(_word, live.evicted))
    return (
        f"request id={live.id} client_id={clients_id} key={live.key_name} dialect={live.dialect}"
        f" model={live.model_id or '-'} peer={_word(live.host)} status={status}"
        f" prompt_tokens={live.prompt_tokens}"
        f" cached_tokens={live.cached_tokens} completion_tokens={live.completion_tokens}"
        f" start={live.start or '-'} evicted={evicted or '-'} queue_s={_seconds(live.queue_s)}"
        f" first_token_s={_seconds(live.first_token_s)} total_s={_seconds(now_s - live.began_s)}"
        f" ending={live.ending or '-'}"
    )


def _seconds(duration_s: float | None) -> str:
    return "-" if duration_s is None else f"{duration_s:.3f}"


def _word(name: str) -> str:
    """A name as one word of a line; whatever its owner wrote makes no second line."""
    return re.sub(r"[^\w.-]", "_", name) or "-"


def client_id(request: web.Request) -> str:
    """The id that the client gave its request, where it can be no more than that."""
    for header in ("x-request-id", "x-client-request-id"):
        value = request.headers.get(header, "")
        if _PLAIN_ID.fullmatch(value):
            return value
    return "-"
