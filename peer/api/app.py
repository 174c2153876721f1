"""The routes of a peer, and what surrounds every request: its id, its errors.

Nothing a client sends leaves here as a traceback, and no client data reaches the log.
"""

from __future__ import annotations

import logging
import time
import traceback

from aiohttp import web
from aiohttp.hdrs import CONNECTION
from aiohttp.typedefs import Handler

from cortex.engine.errors import CortexError, InternalError

from ..bounds.allowance import Allowances
from ..bounds.places import places_of_fleet
from ..member import Member
from ..node import Node
from ..release import own_release
from . import cors, documents, fleet, health, metrics, onlookers
from .access import OPENINGS, Opening, authorized
from .answered_by import headers_of
from .context import (
    CONTROL,
    FINGERPRINT,
    INGRESS,
    INTAKE,
    LIVE,
    MEMBERSHIP,
    NODE,
    NODE_OF,
    REQUEST_ID,
    identify,
    new_request_id,
    respond,
    told,
)
from .errors import from_http
from .intake import Intake
from .openapi import openapi
from .request_log import ALLOWANCES, bounded, logged
from .routes import ROUTES
from .terms import TERMS, TERMS_NOW, TermsNow

logger = logging.getLogger(__name__)


def make_app(node: Node, member: Member) -> web.Application:
    """The member's own routes, for peers, lie under FLEET_PREFIX."""
    config = node.config
    app = web.Application(
        client_max_size=config.max_body_bytes,
        middlewares=[
            _identified,
            logged,
            _errors_told,
            cors.preflights,
            authorized,
            bounded,
        ],
    )
    app[NODE] = node
    app[CONTROL] = member.control
    app[INGRESS] = member.ingress
    app[MEMBERSHIP] = member.fleet
    app[NODE_OF] = member.node_of
    release = own_release()
    app[FINGERPRINT] = f"cortex-{release}"
    app[INTAKE] = Intake(
        config.max_body_bytes, config.max_intake_bytes, stall_s=config.body_stall_s
    )
    app[TERMS_NOW] = TermsNow(lambda: node.config)
    openings: dict[str, Opening] = {route.template: route.opens_to for route in ROUTES}
    app[OPENINGS] = openings
    app[ALLOWANCES] = Allowances(
        lambda: node.config,
        time.monotonic,
        lambda: places_of_fleet(node.num_places, member.fleet.view, node.config.max_live_requests),
    )
    metrics.set_up(app, node, member.fleet)
    onlookers.set_up(app)
    fleet.set_up(app)
    app.on_response_prepare.append(_add_headers)
    app.add_routes([route.definition() for route in ROUTES])
    app.add_routes(member.routes())
    documents.set_up(app, openapi(ROUTES, release))
    return app


def make_metrics_app(app: web.Application) -> web.Application:
    """The numbers and the health that the app tells, from the same counts, and nothing else."""
    part = web.Application(middlewares=[_identified, _errors_told])
    for key in app:
        part[key] = app[key]
    part.on_response_prepare.append(_add_headers)
    part.add_routes([web.get("/metrics", metrics.metrics), web.get("/healthz", health.healthz)])
    return part


@web.middleware
async def _identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    request[REQUEST_ID] = new_request_id()
    request[TERMS] = request.app[TERMS_NOW].take()
    return await handler(request)


@web.middleware
async def _errors_told(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except CortexError as error:
        return _refuse(request, error)
    except web.HTTPException as error:
        ours = from_http(error, request.method, request.path)
        if ours is None:
            raise
        return _refuse(request, ours)
    except ConnectionResetError:
        raise  # the client has gone: there is nobody to tell
    except Exception as error:
        # The text of a foreign exception may hold client data: its place and type must do.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error(
            "request failed id=%s error=%s\n%s", request[REQUEST_ID], type(error).__name__, where
        )
        bug = InternalError("something went wrong in this peer", "its log says where")
        return _refuse(request, bug)


def _refuse(request: web.Request, error: CortexError) -> web.Response:
    response = respond(request, error)
    if LIVE in request:
        request[LIVE].failed(error.code(), told(request, error).status)
        response.headers.update(headers_of(request[LIVE], is_whole=False))
    return response


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    # aiohttp refuses some requests itself, before any middleware.
    identify(response, request.get(REQUEST_ID) or new_request_id())
    connection = request.protocol
    # That of a hop is upgraded, and says so.
    if getattr(connection, "is_ending", False) and CONNECTION not in response.headers:
        response.force_close()
        response.headers[CONNECTION] = "close"
    cors.allow(request, response)
