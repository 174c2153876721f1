"""GET /metrics, in Prometheus' text format, with the tally of replies that is told there alone."""

from __future__ import annotations

import asyncio

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ..fleet.membership import Membership
from ..node import Node
from ..observing.metrics import PeerCollector
from ..observing.replies import ReplyTally

_COLLECTOR = web.AppKey("collector", PeerCollector)
# Told in a dialect's place of requests that only count a prompt's tokens.
COUNTING = "count"
REPLIES = web.AppKey("replies", ReplyTally)


def set_up(app: web.Application, node: Node, membership: Membership) -> None:
    """Give an app numbers of its own."""
    replies = ReplyTally()
    app[REPLIES] = replies
    app[_COLLECTOR] = PeerCollector(
        lambda: node.health,
        lambda: node.placement,
        lambda: len(node.live),
        node.tally,
        replies,
        membership,
    )


async def metrics(request: web.Request) -> web.Response:
    # Not through aiohttp's own fields: they would split the version from the type.
    headers = {"content-type": CONTENT_TYPE_PLAIN_0_0_4}
    body = await asyncio.to_thread(generate_latest, request.app[_COLLECTOR].collect())
    return web.Response(body=body, headers=headers)


def dialect_of(request: web.Request) -> str | None:
    """Whose words a request for an answer is in, by its route, or COUNTING; None of others."""
    resource = request.match_info.route.resource
    if resource is None or request.method != "POST":
        return None
    path = resource.canonical
    if path == "/v1/messages/count_tokens":
        return COUNTING
    if path.startswith("/v1/messages"):
        return "messages"
    if path == "/v1/responses":
        return "responses"
    return "openai" if path.startswith("/v1/") else None
