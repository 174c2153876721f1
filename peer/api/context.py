"""What handlers share: typed keys of the application and of one request."""

from __future__ import annotations

import secrets

from aiohttp import web

from cortex.engine.errors import CortexError, VisionUnsupported

from ..dialects.errors import Family, ToldError
from ..fleet.membership import Membership
from ..hop.link import NodeOf
from ..node import Node
from ..observing.live import LiveRequest
from ..orders.control import Control
from ..routing.ingress import Ingress
from .errors import About, error_response, tell
from .intake import Intake

NODE = web.AppKey("node", Node)
# Who makes the answers.
INGRESS = web.AppKey("ingress", Ingress)
# What knows of the other peers; typed by hand, because a protocol is no class to AppKey.
MEMBERSHIP: web.AppKey[Membership] = web.AppKey("membership")
# Which member showed a certificate.
NODE_OF: web.AppKey[NodeOf] = web.AppKey("node_of")
# Who passes on what peers are ordered.
CONTROL = web.AppKey("control", Control)
INTAKE = web.AppKey("intake", Intake)
# Which program answers: the same name, the same answers for the same seed.
FINGERPRINT = web.AppKey("fingerprint", str)
# Of a request: its id, and what its errors say about models.
REQUEST_ID = web.RequestKey("request_id", str)
ABOUT = web.RequestKey("about", About)
# Of a request for an answer: what is known of it as it goes.
LIVE = web.RequestKey("live", LiveRequest)


def told(request: web.Request, error: CortexError) -> ToldError:
    """The error as this request's client is told it; only a lack of eyes suggests another model."""
    about = request.get(ABOUT, About())
    if isinstance(error, VisionUnsupported):
        about = About(about.model_id, request.app[INGRESS].suggestion())
    return tell(error, about)


def respond(request: web.Request, error: CortexError) -> web.Response:
    """The error as a whole reply, in the client's dialect."""
    return error_response(told(request, error), request[REQUEST_ID], _family_of(request))


def speaks_messages(request: web.Request) -> bool:
    """Whether the client expects the words of the messages dialect: its path says so.

    Both families of clients ask for the models at one path: there a header says it.
    """
    if request.path.startswith("/v1/models"):
        return "anthropic-version" in request.headers
    return request.path == "/v1/messages" or request.path.startswith("/v1/messages/")


def _family_of(request: web.Request) -> Family:
    if speaks_messages(request):
        return "messages"
    return "responses" if request.path == "/v1/responses" else "chat"


def new_request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


def identify(response: web.StreamResponse, request_id: str) -> None:
    """The headers that every reply carries."""
    response.headers["x-request-id"] = request_id
    response.headers["request-id"] = request_id
    response.headers["server"] = "cortex"
