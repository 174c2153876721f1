"""Peers by name, for HTTP: a peer's name leads to all the addresses that it may have.

The likeliest is tried first and the next one a quarter of a second later, while the first is still
trying; whoever connects first is taken (RFC 8305). Who a peer is its certificate proves; where it
may be is known elsewhere.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .gossip.ids import NodeId
from .gossip.records import Address

MAX_ADDRESSES = 4
HEAD_START_S = 0.25
# What a peer nearby has for TCP, TLS and the first answer, and what none may take longer than.
_NEARBY_S = 1.0
_LONGEST_S = 5.0
_ROUND_TRIPS = 4

AddressesOf: TypeAlias = Callable[[NodeId], Sequence[Address]]


def peer_connector(
    addresses_of: AddressesOf, *, limit: int = 0, keepalive_s: float = 15.0
) -> aiohttp.TCPConnector:
    """Opens at most so many connections, where a limit is given. The first label of a peer's name
    is its node, in hex.
    """

    async def look_up(host: str, _: int) -> Sequence[Address]:
        addresses = addresses_of(NodeId(bytes.fromhex(host.partition(".")[0])))
        if not addresses:
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        return addresses[:MAX_ADDRESSES]

    return aiohttp.TCPConnector(
        resolver=Resolver(look_up),
        use_dns_cache=False,
        limit=limit,
        keepalive_timeout=keepalive_s,
        happy_eyeballs_delay=HEAD_START_S,
    )


def patience_s(rtt_s: float | None, num_addresses: int) -> float:
    """For how long to wait for a peer's first answer, on a connection that is still to be made: it
    is so far away, and any but the last of its addresses may swallow what is sent there.
    """
    head_starts_s = HEAD_START_S * (min(num_addresses, MAX_ADDRESSES) - 1)
    return min(max(_NEARBY_S, _ROUND_TRIPS * (rtt_s or 0.0)) + max(head_starts_s, 0.0), _LONGEST_S)


def is_too_far(rtt_s: float | None) -> bool:
    """Whether nobody's patience is long enough, so that silence tells nothing."""
    return rtt_s is not None and _ROUND_TRIPS * rtt_s > _LONGEST_S


class Resolver(AbstractResolver):
    """What `look_up` finds for a name and a port, in the words of aiohttp."""

    def __init__(self, look_up: Callable[[str, int], Awaitable[Sequence[Address]]]) -> None:
        self._look_up = look_up

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [_resolved(host, address) for address in await self._look_up(host, port)]

    async def close(self) -> None:
        pass


def _resolved(host: str, address: Address) -> ResolveResult:
    family: Any = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
    return ResolveResult(
        hostname=host,
        host=address.ip,
        port=address.port,
        family=family,
        proto=0,
        flags=socket.AI_NUMERICHOST,
    )
