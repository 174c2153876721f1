"""Who may do what: keys of the headers, routes that need none, routes that steer the peer.

A route that steers opens to an admin key, and without one only to a program of this very machine:
no page in a browser here, and nobody whom a proxy here has let through. Whoever has shown the
fleet's certificate on its port may do everything, and there alone are the routes between peers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from cortex.engine.errors import CortexError

from ..addresses import host_of, is_loopback
from ..errors import InvalidApiKey, NotFound, PermissionDenied
from ..keys.access import ApiKey, presented_keys
from .context import NODE_OF
from .pages import check_own_name, check_page, is_foreign
from .terms import TERMS, Terms

# Whom a route opens to: all who come, those with a key where keys are wanted, those who steer.
Opening = Literal["everybody", "askers", "admins"]

OPENINGS = web.AppKey("openings", dict[str, Opening])
# The key that a request came with, where it is one of ours.
API_KEY = web.RequestKey("api_key", ApiKey)

# Under it lies what peers ask of each other.
FLEET_PREFIX = "/fleet/v1/"
# What proxies add. A client may write them too, and then needs a key: that is no loss.
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
# Where clients come that were given a base URL without /v1. They are told before the way to an
# admin key: whoever makes one for them hands out far more than they need.
_MODELS_PATH = "/models"
_FOR_CLIENTS = "a client that asks models needs none: its base URL ends with /v1; to steer, "


@web.middleware
async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
    key = _admit(request, request[TERMS])
    if key is not None:
        request[API_KEY] = key
    return await handler(request)


def is_still_admitted(request: web.Request, terms: Terms) -> bool:
    """Whether by these terms, which came later, it would be let in."""
    try:
        _admit(request, terms)
    except CortexError:
        return False
    return True


def _admit(request: web.Request, terms: Terms) -> ApiKey | None:
    """The key that it came with, where it is one of ours. Raises what it is refused with."""
    if is_member(request):
        return None
    if certificate_of(request.transport):
        raise PermissionDenied(
            "the fleet key of this connection is no longer held here",
            "take in the new one with `cortex key add`",
        )
    if request.path.startswith(FLEET_PREFIX):
        raise NotFound("this route is for peers, on the fleet's port", "see /docs for the others")
    headers = request.headers
    key = terms.keyring.find(presented_keys(headers.get("authorization"), headers.get("x-api-key")))
    opening = _opening(request)
    if opening == "admins":
        before = _FOR_CLIENTS if request.path == _MODELS_PATH else ""
        check_steering(key, comes_from_here=_comes_from_here(request), hint_before=before)
    elif opening == "askers" and key is None:
        if not (terms.keyring.is_open or terms.lets_anonymous_in):
            raise InvalidApiKey(
                "this peer wants an API key, and this request came with none that it knows",
                "send one of its keys, as Authorization: Bearer KEY or as x-api-key: KEY",
            )
        check_page(headers, terms.origins)
        check_own_name(headers, terms.origins, socket.gethostname())
    return key


def is_member(request: web.Request) -> bool:
    """Whether the caller has shown a certificate of the fleet that still counts."""
    return request.app[NODE_OF](certificate_of(request.transport)) is not None


def certificate_of(transport: asyncio.BaseTransport | None) -> Mapping[str, Any] | None:
    """What the other side has shown: on the fleet's port alone it shows any."""
    return None if transport is None else transport.get_extra_info("peercert")


def key_name(request: web.Request) -> str:
    if is_member(request):
        return "fleet"
    key = request.get(API_KEY)
    return "-" if key is None else key.name


def check_steering(key: ApiKey | None, *, comes_from_here: bool, hint_before: str = "") -> None:
    """`hint_before` stands before the hint of how to come by an admin key.

    Raises InvalidApiKey or PermissionDenied for somebody who may not steer the peer.
    """
    if comes_from_here or (key is not None and key.is_admin):
        return
    if key is None:
        raise InvalidApiKey(
            "this route steers the peer and opens to admin keys alone",
            f"{hint_before}make one with: cortex config new-key --admin",
        )
    raise PermissionDenied(
        f"the key '{key.name}' may ask, but not steer the peer",
        f"{hint_before}use an admin key; make one with: cortex config new-key --admin",
    )


def _opening(request: web.Request) -> Opening:
    """That of its route. Everybody is told of a path that leads nowhere: no key changes that, and
    health checks, which bring none, come to those of other servers.
    """
    if isinstance(request.match_info.http_exception, web.HTTPNotFound):
        return "everybody"
    resource = request.match_info.route.resource
    return request.app[OPENINGS].get("" if resource is None else resource.canonical, "askers")


def _comes_from_here(request: web.Request) -> bool:
    headers = request.headers
    # A page sends its Origin, and where its address was made to mean us, that name as Host.
    is_page = "origin" in headers or is_foreign(headers)
    if is_page or any(name in headers for name in _PROXY_HEADERS):
        return False
    return is_loopback(request.remote or "") and is_loopback(host_of(request.host))
