"""What browsers are told of pages: those of configured origins may ask, and read what they get.
From others their browser keeps the reply.
"""

from __future__ import annotations

import re

from aiohttp import web
from aiohttp.typedefs import Handler

from .pages import may_ask
from .terms import TERMS, TERMS_NOW

_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
_EXPOSED = (
    "x-request-id, request-id, retry-after, x-should-retry, x-cortex-peer, x-cortex-start,"
    " x-cortex-queue-ms, x-cortex-cached-tokens, x-cortex-evicted"
)
# What a browser asks leave for: names of headers, which official clients have dozens of.
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_, -]{1,2048}")
_HEADERS = "authorization, content-type, x-api-key"
_REMEMBERED_S = "600"


@web.middleware
async def preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser that asks whether a page may ask; it brings no key."""
    is_preflight = request.method == "OPTIONS" and _allowed_origin(request) is not None
    if not is_preflight or "access-control-request-method" not in request.headers:
        return await handler(request)
    asked = request.headers.get("access-control-request-headers", "")
    headers = {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": asked if _HEADER_NAMES.fullmatch(asked) else _HEADERS,
        "access-control-max-age": _REMEMBERED_S,
    }
    return web.Response(status=204, headers=headers)


def allow(request: web.Request, response: web.StreamResponse) -> None:
    """The headers that let a configured origin's page read this reply."""
    origin = _allowed_origin(request)
    if origin is not None:
        response.headers["access-control-allow-origin"] = origin
        response.headers["access-control-expose-headers"] = _EXPOSED
        response.headers["vary"] = "origin"


def _allowed_origin(request: web.Request) -> str | None:
    # aiohttp refuses some requests itself, before any middleware.
    terms = request.get(TERMS) or request.app[TERMS_NOW].take()
    origin, allowed = request.headers.get("origin"), terms.origins
    if origin is None or not allowed:
        return None
    if not may_ask(origin, allowed):
        return None
    return origin if origin in allowed else "*"
