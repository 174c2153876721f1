"""Connections to other peers' fleet ports: one socket out of all addresses that a peer may have.

It knows where peers are and how they prove who they are; nothing of what is said.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

import aiohttp
from yarl import URL

from ..errors import HostRefused
from ..gossip.ids import NodeId
from ..resolving import AddressesOf, patience_s, peer_connector
from .host import HOP_PATH
from .link import FAREWELL_S, MAX_SOCKET_MESSAGE_BYTES

# Its fields are invisible to type checkers.
_FAREWELL: aiohttp.ClientWSTimeout = cast(Any, aiohttp.ClientWSTimeout)(ws_close=FAREWELL_S)
# Who knows how far away a peer is may be held up; then it is as if it were not known.
_ASK_S = 0.2


async def _unknown(_: NodeId) -> None:
    return None


class Dialler:
    """`addresses_of` is where a peer may be, the likeliest first. `context_of` gives what a host
    proves itself with, and `name_of` the name that its certificate bears; without a context nothing
    is encrypted. `round_trip_s` is how far away a peer is, where that is known.
    """

    def __init__(
        self,
        addresses_of: AddressesOf,
        context_of: Callable[[], ssl.SSLContext | None],
        name_of: Callable[[NodeId], str],
        round_trip_s: Callable[[NodeId], Awaitable[float | None]] = _unknown,
    ) -> None:
        self._addresses_of = addresses_of
        self._context_of = context_of
        self._name_of = name_of
        self._round_trip_s = round_trip_s

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=peer_connector(self._addresses_of),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def dial(self, node: NodeId) -> aiohttp.ClientWebSocketResponse:
        """Raises HostRefused where no connection comes about, soon."""
        context = self._context_of()
        scheme = "http" if context is None else "https"
        url = URL.build(scheme=scheme, host=self._name_of(node), path=HOP_PATH)
        limit_s = patience_s(await self._distance_s(node), len(self._addresses_of(node)))
        try:
            async with asyncio.timeout(limit_s):
                return await self._session.ws_connect(
                    url,
                    ssl=True if context is None else context,
                    compress=0,
                    max_msg_size=MAX_SOCKET_MESSAGE_BYTES,
                    timeout=_FAREWELL,
                )
        except TimeoutError:
            raise self._refused(node, f"no answer within {limit_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._refused(node, _why(error)) from None

    async def _distance_s(self, node: NodeId) -> float | None:
        try:
            async with asyncio.timeout(_ASK_S):
                return await self._round_trip_s(node)
        except TimeoutError:
            return None

    def _refused(self, node: NodeId, why: str) -> HostRefused:
        tried = ", ".join(f"{a.ip} port {a.port}" for a in self._addresses_of(node)) or "no address"
        return HostRefused(
            f"peer {node.hex()} cannot be reached at {tried}: {why}",
            "cortex doctor tells what is in the way",
        )


def _why(error: aiohttp.ClientError | OSError) -> str:
    """aiohttp's own words tell of objects of this process too."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
