"""What a peer asks others over HTTP, on the fleet's port: whether they are there, for a
synchronisation, for their list of models.

It knows addresses and time limits; what is in the bodies is `wire.py`'s.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from ..errors import HostLost, HostRefused
from ..gossip.codec import MessageError
from ..gossip.ids import NodeId
from ..gossip.records import Address
from .seeds import Resolver
from .trust import Trust
from .wire import MAX_BODY_BYTES, SyncQuestion, SyncReply, packed, unpacked

SYNC_PATH = "/fleet/v1/sync"
PING_PATH = "/fleet/v1/ping"
CATALOGUE_PATH = "/fleet/v1/catalog"
_PING_S = 1.0
_EXCHANGE_S = 10.0
_KEEP_ALIVE_S = 30.0
_MAX_CONNECTIONS = 64


class PeerClient:
    def __init__(self, trust: Trust, session: aiohttp.ClientSession) -> None:
        self._trust = trust
        self._session = session

    async def ping(self, node: NodeId, address: Address) -> None:
        """Raises HostLost where that peer does not answer."""
        async with self._asking("GET", node, address, PING_PATH, _PING_S) as reply:
            await _body(reply)

    async def sync(self, node: NodeId, address: Address, question: SyncQuestion) -> SyncReply:
        """Raises HostLost."""
        body = packed(question)
        async with self._asking("POST", node, address, SYNC_PATH, _EXCHANGE_S, body) as reply:
            return unpacked(SyncReply, await _body(reply))

    async def catalogue(self, node: NodeId, address: Address) -> bytes:
        """Raises HostLost."""
        async with self._asking("GET", node, address, CATALOGUE_PATH, _EXCHANGE_S) as reply:
            return await _body(reply)

    @asynccontextmanager
    async def _asking(
        self,
        method: str,
        node: NodeId,
        address: Address,
        path: str,
        limit_s: float,
        body: bytes | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method,
                URL.build(scheme="https", host=address.ip, port=address.port, path=path),
                data=None if body is None else io.BytesIO(body),
                ssl=self._trust.client_context(),
                server_hostname=self._trust.host_name(node),
                timeout=aiohttp.ClientTimeout(total=limit_s),
                allow_redirects=False,
            ) as reply:
                if reply.status != 200:
                    raise HostLost(f"{address.ip} answers {path} with status {reply.status}")
                yield reply
        except aiohttp.ClientConnectorError as error:
            raise HostRefused(f"no connection to {address.ip} port {address.port}") from error
        except (TimeoutError, aiohttp.ClientError, OSError, MessageError) as error:
            raise HostLost(f"no use of {path} at {address.ip}: {error}") from error


async def _body(reply: aiohttp.ClientResponse) -> bytes:
    """Raises MessageError for a body that is longer than any may be."""
    body = bytearray()
    async for part in reply.content.iter_any():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise MessageError(f"a body of more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def open_session() -> aiohttp.ClientSession:
    """For the loop that runs; its cookies and its proxies are nobody's."""
    connector = aiohttp.TCPConnector(
        limit=_MAX_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_S, resolver=Resolver()
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
