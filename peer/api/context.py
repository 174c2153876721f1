"""What handlers share: typed keys of the application and of one request."""

from __future__ import annotations

from aiohttp import web

from cortex.engine.errors import CortexError, VisionUnsupported

from ..node import Node
from .errors import About
from .intake import Intake

NODE = web.AppKey("node", Node)
INTAKE = web.AppKey("intake", Intake)
# Of a request: its id, and what its errors say about models.
REQUEST_ID = web.RequestKey("request_id", str)
ABOUT = web.RequestKey("about", About)


def about_error(request: web.Request, error: CortexError) -> About:
    """What the error's envelope says of models; only a lack of eyes suggests another one."""
    about = request.get(ABOUT, About())
    if isinstance(error, VisionUnsupported):
        return About(about.model_id, request.app[NODE].suggestion())
    return about


def identify(response: web.StreamResponse, request_id: str) -> None:
    """The headers that every reply carries."""
    response.headers["x-request-id"] = request_id
    response.headers["request-id"] = request_id
    response.headers["server"] = "cortex"
