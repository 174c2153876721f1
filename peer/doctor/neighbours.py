"""Who says by mDNS that he is a peer: of this fleet or another, of which versions, and how often
under one id.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from ..addresses import authority
from ..fleet.beacons import SERVICE_TYPE, Found, node_of, read_beacon
from .findings import Finding, warn

LISTEN_S = 2.5
MAX_NEIGHBOURS = 256


async def hear_neighbours(
    interfaces: Sequence[str | int], listen_s: float = LISTEN_S
) -> tuple[Found, ...]:
    """All that were told of in so long a time; one that told two things is there twice.

    Raises what the library does where it cannot listen.
    """
    found: dict[tuple[bytes, bytes], Found] = {}

    def hear(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed or len(found) >= MAX_NEIGHBOURS:
            return
        one = _read(zeroconf, name)
        if one is not None:
            found[one.node, one.boot] = one

    zeroconf = AsyncZeroconf(interfaces=list(interfaces))
    try:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE_TYPE, handlers=[hear])
        await asyncio.sleep(listen_s)
        await browser.async_cancel()
    finally:
        await zeroconf.async_close()
    return tuple(found.values())


def judge_neighbours(found: Iterable[Found], tags: Sequence[bytes]) -> Iterator[Finding]:
    """`tags` are those of the fleet keys held here; without any, all fleets are foreign. Nobody has
    proved what he tells, so that none of it says that something is broken.
    """
    told = list(found)
    boots = Counter(one.node for one in told)
    for one in {one.node: one for one in told}.values():
        who = f"{one.name} ({_at(one)})"
        if boots[one.node] > 1:
            fix = "on one of the two: remove node.json from its state directory, and restart it"
            yield warn("id", f"two say that they run as {one.node.hex()}, one is {who}", fix)
        if one.tag in tags and not one.speaks_ours:
            oldest, newest = one.versions
            text = f"{who} speaks versions {oldest} to {newest} of the protocol, and not ours"
            yield warn("version", text, "update cortex on the older of the two")
    foreign = [one for one in told if one.tag not in tags]
    for one in {one.tag: one for one in foreign}.values():
        text = f"another fleet is in this network: that of {one.name} ({_at(one)})"
        yield warn("fleets", text, f"to join it: run `cortex key` on {one.name}, and its line here")


def _read(zeroconf: Zeroconf, name: str) -> Found | None:
    """What was told whole; what a peer does not tell at once it tells again."""
    if node_of(name) is None:
        return None
    info = AsyncServiceInfo(SERVICE_TYPE, name)
    if not info.load_from_cache(zeroconf):
        return None
    return read_beacon(name, info.properties, info.port, info.parsed_scoped_addresses())


def _at(one: Found) -> str:
    return authority(one.addresses[0], one.fleet_port) if one.addresses else "at no address"
