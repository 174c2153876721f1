"""What a peer asks others over HTTP, on the fleet's port: whether they are there, for a
synchronisation, for their list of models.

Where a peer is its session knows; what is in the bodies is `wire.py`'s.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from ..errors import HostLost, HostRefused, HostSilent
from ..gossip.codec import MessageError
from ..gossip.ids import NodeId
from ..resolving import AddressesOf, peer_connector
from .trust import Trust, host_name
from .wire import SyncQuestion, SyncReply, packed, read_body, unpacked

SYNC_PATH = "/fleet/v1/sync"
PING_PATH = "/fleet/v1/ping"
CATALOGUE_PATH = "/fleet/v1/catalog"
_EXCHANGE_S = 10.0
_KEEP_ALIVE_S = 30.0
_MAX_CONNECTIONS = 64


class PeerClient:
    """Asks in a session that finds peers by name: that of `open_peer_session`. `patience_s` is how
    soon a peer answers that is well.
    """

    def __init__(
        self,
        trust: Trust,
        session: aiohttp.ClientSession,
        patience_s: Callable[[NodeId], float],
    ) -> None:
        self._trust = trust
        self._session = session
        self._patience_s = patience_s

    async def ping(self, node: NodeId) -> None:
        """Raises HostLost where that peer does not answer; each of these HostRefused or HostSilent
        where it cannot be reached.
        """
        async with self._asking("GET", node, PING_PATH, self._patience_s(node)) as reply:
            await read_body(reply.content)

    async def sync(self, node: NodeId, question: SyncQuestion) -> SyncReply:
        """Raises HostLost."""
        body = packed(question)
        async with self._asking("POST", node, SYNC_PATH, _EXCHANGE_S, body) as reply:
            return unpacked(SyncReply, await read_body(reply.content))

    async def catalogue(self, node: NodeId) -> bytes:
        """Raises HostLost."""
        async with self._asking("GET", node, CATALOGUE_PATH, _EXCHANGE_S) as reply:
            return await read_body(reply.content)

    @asynccontextmanager
    async def _asking(
        self,
        method: str,
        node: NodeId,
        path: str,
        limit_s: float,
        body: bytes | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method,
                URL.build(scheme="https", host=host_name(node), path=path),
                data=None if body is None else io.BytesIO(body),
                ssl=self._trust.client_context(),
                timeout=aiohttp.ClientTimeout(total=limit_s),
                allow_redirects=False,
            ) as reply:
                if reply.status != 200:
                    raise HostLost(f"peer {node.hex()} answers {path} with status {reply.status}")
                yield reply
        except aiohttp.ClientConnectorError as error:
            raise HostRefused(f"no connection to peer {node.hex()}: {error}") from error
        except TimeoutError as error:
            raise HostSilent(f"peer {node.hex()} does not answer {path} in time") from error
        except (aiohttp.ClientError, OSError, MessageError) as error:
            raise HostLost(f"no use of {path} at peer {node.hex()}: {error}") from error


def open_peer_session(addresses_of: AddressesOf) -> aiohttp.ClientSession:
    """For the loop that runs; its cookies and its proxies are nobody's."""
    connector = peer_connector(addresses_of, limit=_MAX_CONNECTIONS, keepalive_s=_KEEP_ALIVE_S)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
