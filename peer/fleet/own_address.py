"""Where others are told to find us, as far as this machine alone can know."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from ..addresses import WILDCARDS, is_loopback
from ..errors import CannotListen
from ..gossip.records import Address
from .seeds import look_up, parse_seed
from .udp import FleetSockets

# Reserved for documents (RFC 5737, RFC 3849): nothing is sent there, only the route is looked up.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_LOOK_UP_S = 5.0


async def own_address(advertise: str | None, sockets: FleetSockets) -> Address:
    """The one that a person named; else the one that we listen on; else that of the default route.

    Raises CannotListen for a name that nobody knows, and InvalidAddress for what is no address.
    """
    if advertise is not None:
        return await _advertised(advertise, sockets.port)
    host = sockets.host
    return Address(host if host not in WILDCARDS else _default_route(), sockets.port)


async def _advertised(advertise: str, port: int) -> Address:
    seed = parse_seed(advertise, port)
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            return (await look_up(seed.host, seed.port))[0]
    except (OSError, IndexError):  # a time limit is an OSError too
        raise CannotListen(
            f"nobody knows an address of {seed.host!r}, which others are to be told",
            "name another with --advertise, or leave it out",
        ) from None


def _default_route() -> str:
    for family, elsewhere in _ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            return probe.getsockname()[0]
    return "127.0.0.1"


def improved(own: Address, seen: Address) -> Address | None:
    """A better address than ours, now that another peer has seen where our packets come from.

    Only where ours is good for this machine alone: else it was chosen, or another peer looks at us
    from another side.
    """
    if is_loopback(own.ip) and not is_loopback(seen.ip) and seen.port == own.port:
        return seen
    return None
