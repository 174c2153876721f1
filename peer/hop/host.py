"""The host's side of the hop: other peers connect here and ask this peer's engine."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..bounds.admission import Admission
from ..node import Node
from .guest import CarryOut, Grant, Guest
from .link import FAREWELL_S, MAX_SOCKET_MESSAGE_BYTES, TICK_S, NodeOf

HOP_PATH = "/fleet/v1/hop"
# A short message takes more bytes packed, with all its fields' names, than as JSON; and there are
# the tokens so far.
_BYTES_OF_A_BODY = 2
_MORE_BYTES = 1024 * 1024
# Beside what the node takes: requests that it is to refuse in its own words, questions who loads.
_MORE_REQUESTS = 256


class HopHost:
    """Belongs to the fleet port, which lets in only holders of the fleet key.

    `name` is what this peer is called, `grant` answers for it as the arbiter of loads, and
    `carry_out` does what it is ordered.
    """

    def __init__(
        self, name: str, node: Node, grant: Grant, carry_out: CarryOut, tick_s: float = TICK_S
    ) -> None:
        config = node.config
        self._name = name
        self._node = node
        self._grant = grant
        self._carry_out = carry_out
        self._tick_s = tick_s
        self._max_bytes = _BYTES_OF_A_BODY * config.max_body_bytes + _MORE_BYTES
        most = config.max_live_requests + config.max_live_counts + _MORE_REQUESTS
        self._intake = Admission(most, config.max_intake_bytes + _MORE_BYTES)
        self._guests: set[Guest] = set()
        self._is_leaving = False

    def routes(self) -> list[web.RouteDef]:
        return [web.get(HOP_PATH, self._receive)]

    async def leave(self) -> None:
        """Tell all who ask that this peer ends; return when they know, or soon."""
        self._is_leaving = True
        for guest in self._guests:
            guest.leave()
        try:
            async with asyncio.timeout(2 * FAREWELL_S):
                await asyncio.gather(*(guest.gone.wait() for guest in self._guests))
        except TimeoutError:
            pass  # they hear of it by our silence

    def recheck(self, node_of: NodeOf) -> None:
        """The keys have changed: who is no member any more is served no longer."""
        for guest in self._guests:
            guest.link.recheck(node_of)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        if self._is_leaving:
            raise web.HTTPServiceUnavailable(reason="this peer is going away")
        socket = web.WebSocketResponse(
            timeout=FAREWELL_S, compress=False, max_msg_size=MAX_SOCKET_MESSAGE_BYTES
        )
        await socket.prepare(request)
        guest = Guest(
            self._name,
            self._node,
            self._grant,
            self._carry_out,
            self._intake,
            self._max_bytes,
            socket,
            self._tick_s,
        )
        self._guests.add(guest)
        try:
            await guest.run()
        finally:
            self._guests.discard(guest)
        return socket
