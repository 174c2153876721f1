"""Where others ought to be: addresses and names that a person gave, tried for as long as we run.

A name may mean several addresses, and others tomorrow: it is looked up again each minute, in a
thread, and all that it means are tried, more often than that: what a person named may be a machine
that starts any moment now. An http endpoint is asked which port its fleet has.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import msgspec

from cortex.engine.errors import CortexError

from ..config import FLEET_PORT
from ..gossip.ids import Port
from ..gossip.records import Address
from ..resolving import Resolver
from .udp import address_of

logger = logging.getLogger(__name__)

LOOK_UP_EVERY_S = 60.0
_ASKS_A_LOOK_UP = 6
_ASK_S = 5.0
_MAX_HEALTH_BYTES = 64 * 1024
# What comes of asking: no answer, or one that no peer gives, as deep as it may be.
_NOT_FOUND = (OSError, aiohttp.ClientError, msgspec.MsgspecError, RecursionError)
_PORTS = {"http": 80, "https": 443}


class InvalidAddress(CortexError):
    """A text that names no place to join."""


@dataclass(frozen=True, slots=True)
class Seed:
    """`endpoint` is the base address of a public API that knows the fleet's port; "" without."""

    host: str
    port: int
    endpoint: str = ""


class _Health(msgspec.Struct):
    fleet_port: Port


def parse_seed(text: str, default_port: int = FLEET_PORT) -> Seed:
    """HOST, HOST:PORT, [IPV6]:PORT, or http(s)://HOST[:PORT].

    Raises InvalidAddress.
    """
    plain = text.strip()
    scheme, separator, _ = plain.partition("://")
    if separator and scheme not in _PORTS:
        raise _unclear(text)
    # A bare address of IPv6 has colons, and none before its port.
    is_bare = not separator and plain.count(":") > 1 and not plain.startswith("[")
    try:
        parts = urlsplit(plain if separator else f"//[{plain}]" if is_bare else f"//{plain}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _unclear(text) from None
    has_more = bool(parts.query or parts.username) or (not separator and bool(parts.path))
    if not host or has_more or any(char.isspace() for char in host) or port == 0:
        raise _unclear(text)
    if not separator:
        return Seed(host, port or default_port)
    return Seed(host, port or _PORTS[scheme], plain.rstrip("/"))


def _unclear(text: str) -> InvalidAddress:
    return InvalidAddress(
        f"{text!r} is no address to join", "write HOST:PORT, such as beast.internal:13132"
    )


class Seeking:
    """The seeds that are being tried, each in a task of its own.

    `on_gone` is called with an address that none of them means any more.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        session: aiohttp.ClientSession,
        on_address: Callable[[Address], None],
        on_gone: Callable[[Address], None],
    ) -> None:
        self._tasks = tasks
        self._session = session
        self._on_address = on_address
        self._on_gone = on_gone
        self._meant: dict[Seed, tuple[Address, ...]] = {}
        self._sought: dict[Seed, asyncio.Task[None]] = {}

    def seek(self, seeds: Collection[Seed]) -> None:
        """Try these from now on, and no others."""
        for seed in self._sought.keys() - set(seeds):
            self._sought.pop(seed).cancel()
            self._means(seed, ())
        for seed in set(seeds) - self._sought.keys():
            following = follow(seed, self._session, functools.partial(self._means, seed))
            self._sought[seed] = self._tasks.create_task(following)

    def _means(self, seed: Seed, addresses: tuple[Address, ...]) -> None:
        """All the addresses that the seed means now."""
        before = self._meant.pop(seed, ())
        if addresses:
            self._meant[seed] = addresses
        meant = {address for each in self._meant.values() for address in each}
        for address in before:
            if address not in meant:
                self._on_gone(address)
        for address in addresses:
            self._on_address(address)


async def follow(
    seed: Seed,
    session: aiohttp.ClientSession,
    on_addresses: Callable[[tuple[Address, ...]], None],
) -> None:
    """Hand on all addresses that the seed means, again and again, for ever."""
    rest_s = 1.0
    while True:
        try:
            addresses = await look_up(seed.host, await _fleet_port(seed, session))
        except _NOT_FOUND as error:
            logger.info("seed not found host=%s error=%s", seed.host, error)
            rest_s = min(2 * rest_s, LOOK_UP_EVERY_S)
            await asyncio.sleep(rest_s)
        else:
            rest_s = LOOK_UP_EVERY_S
            for _ in range(_ASKS_A_LOOK_UP):
                on_addresses(addresses)
                await asyncio.sleep(LOOK_UP_EVERY_S / _ASKS_A_LOOK_UP)


async def _fleet_port(seed: Seed, session: aiohttp.ClientSession) -> int:
    if not seed.endpoint:
        return seed.port
    limit = aiohttp.ClientTimeout(total=_ASK_S)
    async with session.get(f"{seed.endpoint}/healthz", timeout=limit) as reply:
        body = await reply.content.read(_MAX_HEALTH_BYTES)
    return msgspec.json.decode(body, type=_Health).fleet_port


async def look_up(host: str, port: int) -> tuple[Address, ...]:
    """All addresses of a name.

    Raises OSError. The thread is a daemon: the end of the peer does not wait for a resolver.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[tuple[Address, ...]] = loop.create_future()

    def settle(addresses: tuple[Address, ...], error: OSError | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def ask() -> None:
        addresses: tuple[Address, ...] = ()
        error: OSError | None = None
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            addresses = tuple(dict.fromkeys(address_of(info[4]) for info in infos))
        except (OSError, UnicodeError) as failure:
            error = failure if isinstance(failure, OSError) else OSError(str(failure))
        try:
            loop.call_soon_threadsafe(settle, addresses, error)
        except RuntimeError:
            return  # the loop has ended meanwhile

    threading.Thread(target=ask, name="fleet-look-up", daemon=True).start()
    return await found


def open_session() -> aiohttp.ClientSession:
    """To ask endpoints which port their fleet has; looked up as seeds are."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=Resolver(look_up)),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
