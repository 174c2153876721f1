"""GET /openapi.json, and /docs: a page that shows it, needing nothing from anywhere else."""

from __future__ import annotations

from importlib import resources

import msgspec
from aiohttp import web

from .replies import json_text_response

# The document, made once: the routes are the app's own.
OPENAPI = web.AppKey("openapi", bytes)
PAGE = web.AppKey("docs_page", str)

_ROOM = "cortex.peer.api"
# Nothing of the page may come from, or go to, anywhere else.
_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline';"
        " style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
}


def set_up(app: web.Application, document: dict[str, object]) -> None:
    app[OPENAPI] = msgspec.json.encode(document)
    app[PAGE] = resources.files(_ROOM).joinpath("docs.html").read_text(encoding="utf-8")


async def openapi_document(request: web.Request) -> web.Response:
    return json_text_response(request.app[OPENAPI])


async def docs_page(request: web.Request) -> web.Response:
    return web.Response(
        text=request.app[PAGE], content_type="text/html", charset="utf-8", headers=_PAGE_HEADERS
    )
