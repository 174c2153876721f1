"""Laying two peers' tables side by side over HTTP: who asks, and what the asked one answers.

Both halves are thin: what is compared with what is the core's, and the core is reached by a
function, because it lives on another loop than the handlers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from aiohttp import web

from cortex.engine.errors import InvalidRequest

from ..errors import HostLeaving, PermissionDenied
from ..gossip.codec import MessageError
from ..gossip.core import Core
from ..gossip.ids import NodeId
from .client import CATALOGUE_PATH, PING_PATH, SYNC_PATH, PeerClient
from .driver import Driver
from .trust import Trust
from .wire import SyncQuestion, SyncReply, packed, page, read_body, unpacked

T = TypeVar("T")

# Does something with the core, wherever that lives.
Deed: TypeAlias = Callable[[Core, float], T]
AskCore: TypeAlias = Callable[[Deed[SyncReply]], Awaitable[SyncReply]]

# Pages of one exchange, each way; what is left comes with the next one.
_MAX_PAGES = 8
_TYPE = "application/msgpack"


async def synchronise(driver: Driver, client: PeerClient, node: NodeId) -> None:
    """Take from a peer what we lack, and bring it what it lacks.

    Raises HostLost.
    """
    for _ in range(_MAX_PAGES):
        question = SyncQuestion(digest=driver.act(lambda core, _: core.digest()))
        reply = await client.sync(node, question)
        _take(driver, node, reply)
        await _bring(driver, client, node, reply)
        if not reply.has_more:
            return


def _take(driver: Driver, node: NodeId, reply: SyncReply) -> None:
    driver.act(lambda core, now_s: core.on_rows(now_s, node, reply.rows))


async def _bring(driver: Driver, client: PeerClient, node: NodeId, reply: SyncReply) -> None:
    rows = driver.act(lambda core, _: core.wanted_rows(reply.wants)) if reply.wants else ()
    for _ in range(_MAX_PAGES):
        if not rows:
            return
        part = page(rows)
        await client.sync(node, SyncQuestion(rows=part))
        rows = rows[len(part) :]


def answer(core: Core, now_s: float, teller: NodeId, question: SyncQuestion) -> SyncReply:
    """What the asked side does and says."""
    if question.rows:
        core.on_rows(now_s, teller, question.rows)
    if question.digest is None:
        return SyncReply()
    ahead, wants = core.answer_sync(question.digest)
    rows = page(ahead)
    return SyncReply(rows, wants, has_more=len(rows) < len(ahead))


def routes(trust: Trust, ask_core: AskCore, catalogue: Callable[[], bytes]) -> list[web.RouteDef]:
    """The asked half, for the fleet's port. `catalogue` is the list of our models, packed."""

    def caller(request: web.Request) -> NodeId:
        transport = request.transport
        shown = None if transport is None else transport.get_extra_info("peercert")
        node = trust.node_of(shown)
        if node is None:
            raise PermissionDenied(
                "the fleet key of this connection is no longer held here",
                "take in the new one with `cortex key add`",
            )
        return node

    async def sync(request: web.Request) -> web.Response:
        teller = caller(request)
        try:
            question = unpacked(SyncQuestion, await read_body(request.content))
        except MessageError as error:
            raise InvalidRequest(error.message, "a peer of another version?") from None
        try:
            reply = await ask_core(lambda core, now_s: answer(core, now_s, teller, question))
        except HostLeaving as error:
            return web.Response(status=503, text=error.message)
        return web.Response(body=packed(reply), content_type=_TYPE)

    async def ping(request: web.Request) -> web.Response:
        caller(request)
        return web.Response(body=b"", content_type=_TYPE)

    async def models(request: web.Request) -> web.Response:
        caller(request)
        return web.Response(body=catalogue(), content_type=_TYPE)

    return [
        web.post(SYNC_PATH, sync),
        web.get(PING_PATH, ping),
        web.get(CATALOGUE_PATH, models),
    ]
