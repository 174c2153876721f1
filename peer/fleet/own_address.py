"""Where others are told to find us, as far as this machine alone can know."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..addresses import WILDCARDS, is_loopback
from ..errors import CannotListen
from ..gossip.records import Address
from ..resolving import MAX_ADDRESSES
from .interfaces import (
    POLL_S,
    Interface,
    Reader,
    addresses_to_dial,
    read_interfaces,
    watch_interfaces,
)
from .seeds import look_up, parse_seed
from .udp import FleetSockets

# Reserved for documents (RFC 5737, RFC 3849): nothing is sent there, only the route is looked up.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_LOOK_UP_S = 5.0


async def own_addresses(
    advertise: str | None, sockets: FleetSockets, read: Reader = read_interfaces
) -> tuple[Address, ...]:
    """What a person named; else what we listen on; else the address of the default route, and after
    it those of the other interfaces. The loopback address only where there is no other.

    Raises CannotListen for a name that nobody knows, and InvalidAddress for what is no address.
    """
    if advertise is not None:
        return (await _advertised(advertise, sockets.port))[:MAX_ADDRESSES]
    if sockets.host not in WILDCARDS:
        return (Address(sockets.host, sockets.port),)
    return _reached(await asyncio.to_thread(read), sockets)


async def follow_addresses(
    sockets: FleetSockets,
    first: tuple[Address, ...],
    on_change: Callable[[tuple[Address, ...]], None],
    read: Reader = read_interfaces,
    poll_s: float = POLL_S,
) -> None:
    """Tell of them whenever the machine's have changed, for ever. One that listens at one address
    alone has no others.
    """
    if sockets.host not in WILDCARDS:
        return

    def reconsider(interfaces: Sequence[Interface]) -> None:
        nonlocal first
        before, first = first, _reached(interfaces, sockets)
        if first != before:
            on_change(first)

    await watch_interfaces(read, await asyncio.to_thread(read), reconsider, poll_s)


def _reached(interfaces: Sequence[Interface], sockets: FleetSockets) -> tuple[Address, ...]:
    """Of one that listens everywhere."""
    found = addresses_to_dial(interfaces, sockets.host)
    ips = dict.fromkeys((*filter(None, (_default_route(),)), *found)) or ("127.0.0.1",)
    return tuple(Address(ip, sockets.port) for ip in ips)[:MAX_ADDRESSES]


async def _advertised(advertise: str, port: int) -> tuple[Address, ...]:
    seed = parse_seed(advertise, port)
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            return await look_up(seed.host, seed.port)
    except OSError:  # a time limit is one too
        raise CannotListen(
            f"nobody knows an address of {seed.host!r}, which others are to be told",
            "name another with --advertise, or leave it out",
        ) from None


def _default_route() -> str | None:
    for family, elsewhere in _ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            return probe.getsockname()[0]
    return None


def improved(own: Address, seen: Address) -> Address | None:
    """A better address than ours, now that another peer has seen where our packets come from.

    Only where ours is good for this machine alone: else it was chosen, or another peer looks at us
    from another side.
    """
    if is_loopback(own.ip) and not is_loopback(seen.ip) and seen.port == own.port:
        return seen
    return None
