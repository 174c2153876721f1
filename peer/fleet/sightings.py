"""What to make of each peer that is found by mDNS: an address to try, or a fleet that is not ours.

Everything heard is bounded, and what a person should know is said once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..addresses import authority
from ..gossip.ids import NodeId
from ..gossip.records import Address
from .beacons import Beacon, Found
from .dialling import Dialler

MAX_FOREIGN = 32
MAX_REFUSED = 32
MAX_DOUBLES = 32


@dataclass(frozen=True, slots=True)
class Hearer:
    """Who is told, and who is asked. All of it is called in the loop that discovery runs in.

    `on_address` tries an address once, `on_foreign` is told a fleet's tag, the name of a peer of it
    and HOST:PORT, `on_notice` a sentence for people, `on_hint` one that rests on a beacon alone.
    `is_met` is whether that peer is up as far as we know, `is_alone` whether none is.
    """

    on_address: Callable[[str, int], None]
    on_foreign: Callable[[bytes, str, str], None]
    on_notice: Callable[[str], None]
    on_hint: Callable[[str], None]
    is_met: Callable[[NodeId], bool]
    is_alone: Callable[[], bool]


class Sightings:
    def __init__(self, hearer: Hearer) -> None:
        self.dialler = Dialler(hearer.is_met)
        self._hearer = hearer
        self._foreign: set[bytes] = set()
        self._refused: set[NodeId] = set()
        self._doubles: set[bytes] = set()

    def see(self, now_s: float, own: Beacon, found: Found) -> None:
        if found.node == own.node:
            self._see_double(own, found)
        elif found.tag not in own.tags:
            self._see_foreign(found)
        elif not found.speaks_ours:
            self._refuse(found)
        else:
            addresses = (Address(ip, found.fleet_port) for ip in found.addresses)
            self.dialler.hear(now_s, found.node, addresses)

    def _see_double(self, own: Beacon, found: Found) -> None:
        """Ourselves; or somebody with a copy of our state directory, who finds out when we talk."""
        if found.boot == own.boot[: len(found.boot)] or found.boot in self._doubles:
            return
        if found.tag in own.tags and len(self._doubles) < MAX_DOUBLES:
            self._doubles.add(found.boot)
            for ip in found.addresses:
                self._hearer.on_address(ip, found.fleet_port)

    def _see_foreign(self, found: Found) -> None:
        if found.tag in self._foreign or len(self._foreign) >= MAX_FOREIGN or not found.addresses:
            return
        self._foreign.add(found.tag)
        self._hearer.on_foreign(found.tag, found.name, _shown(found))

    def _refuse(self, found: Found) -> None:
        if found.node in self._refused or len(self._refused) >= MAX_REFUSED:
            return
        self._refused.add(found.node)
        oldest, newest = found.versions
        self._hearer.on_hint(
            f"somebody says by mDNS: {found.name} speaks versions {oldest} to {newest} of the "
            "fleet's protocol, and this peer none of them: update the older of the two"
        )


def _shown(found: Found) -> str:
    return authority(found.addresses[0], found.fleet_port)
