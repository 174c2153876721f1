"""Joins discovery by mDNS to the fleet's loop: what it tells of us, and what its hints set off."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from ..config import FleetConfig
from ..gossip.ids import NodeId
from ..gossip.members import Members
from ..gossip.own import Own
from ..gossip.records import Address
from ..keys.keyring import Keyring
from .beacons import Beacon
from .mdns import MdnsDiscovery, MdnsWish
from .notices import Teller
from .sightings import Hearer


class Discovery:
    """Does nothing where the config wants no mDNS."""

    def __init__(self, config: FleetConfig, bound_host: str, api: str, hearer: Hearer) -> None:
        self._config = config
        self._bound_host = bound_host
        self._api_port = _port_of(api)
        self._hearer = hearer
        self._mdns: MdnsDiscovery | None = None

    @asynccontextmanager
    async def going_on(self, own: Own, keyring: Keyring) -> AsyncGenerator[None]:
        """Tell and listen for as long as the block lasts."""
        if not self._config.has_mdns:
            yield
            return
        wish = MdnsWish(self._config.mdns_interfaces, self._bound_host)
        self._mdns = MdnsDiscovery(self._beacon(own, keyring), self._hearer, wish)
        self._mdns.start()
        try:
            yield
        finally:
            mdns, self._mdns = self._mdns, None
            await mdns.stop()

    def announce(self, own: Own, keyring: Keyring) -> None:
        """Say this of ourselves from now on."""
        if self._mdns is not None:
            self._mdns.announce(self._beacon(own, keyring))

    def _beacon(self, own: Own, keyring: Keyring) -> Beacon:
        return Beacon(
            own.node,
            own.identity.boot,
            tuple(key.mdns_tag for key in keyring.trusted),
            self._config.name,
            own.address.port,
            self._api_port,
            () if self._config.advertise is None else (own.address.ip,),
        )


def hearer(
    members: Members, on_address: Callable[[Address], None], note: Teller, hint: Teller
) -> Hearer:
    """What becomes of what mDNS hears: an address is tried once, a foreign fleet is told of."""

    def on_foreign(tag: bytes, name: str, address: str) -> None:
        hint(
            f"another fleet is in this network, says {name} at {address}; to join it run `cortex "
            "join` with the line that `cortex key` prints there",
            tag.hex(),
        )

    def is_met(node: NodeId) -> bool:
        member = members.get(node)
        return member is not None and member.standing.is_reachable

    return Hearer(
        on_address=lambda ip, port: on_address(Address(ip, port)),
        on_foreign=on_foreign,
        on_notice=note,
        on_hint=hint,
        is_met=is_met,
        is_alone=lambda: members.num_reachable == 0,
    )


def _port_of(api: str) -> int | None:
    port = api.rpartition(":")[2]
    return int(port) if port.isascii() and port.isdecimal() else None
