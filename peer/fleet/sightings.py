"""What to make of each peer that is found by mDNS: an address to try, or a fleet that is not ours.

Everything heard is bounded, and what a person should know is said again while it is heard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..addresses import authority
from ..gossip.ids import NodeId
from ..gossip.records import Address
from .beacons import Beacon, Found
from .dialling import Dialler
from .notices import KEPT_S

MAX_FOREIGN = 32
MAX_REFUSED = 32
MAX_DOUBLES = 32


# What is still so is said again before it is forgotten.
_AGAIN_S = KEPT_S / 2


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


class _Said:
    """Of what something was said of late: of so many at most, however many there are."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._at: dict[bytes, tuple[float, NodeId]] = {}

    def is_due(self, now_s: float, what: bytes, node: NodeId) -> bool:
        """Whether to say it now, as this peer has it: it counts as said. Another peer says the same
        in other words, which would stand beside the first ones: they wait until those are gone.
        """
        self._at = {each: said for each, said in self._at.items() if now_s - said[0] < KEPT_S}
        before = self._at.get(what)
        if before is None:
            is_due = len(self._at) < self._most
        else:
            is_due = before[1] == node and now_s - before[0] >= _AGAIN_S
        if is_due:
            self._at[what] = now_s, node
        return is_due


class Sightings:
    def __init__(self, hearer: Hearer) -> None:
        self.dialler = Dialler(hearer.is_met)
        self._hearer = hearer
        self._foreign = _Said(MAX_FOREIGN)
        self._refused = _Said(MAX_REFUSED)
        self._doubles = _Said(MAX_DOUBLES)

    def see(self, now_s: float, own: Beacon, found: Found) -> None:
        if found.node == own.node:
            self._see_double(now_s, own, found)
        elif found.tag not in own.tags:
            self._see_foreign(now_s, found)
        elif not found.speaks_ours:
            self._refuse(now_s, found)
        else:
            addresses = (Address(ip, found.fleet_port) for ip in found.addresses)
            self.dialler.hear(now_s, found.node, addresses)

    def _see_double(self, now_s: float, own: Beacon, found: Found) -> None:
        """Ourselves; or somebody with a copy of our state directory, who finds out when we talk."""
        if found.boot == own.boot[: len(found.boot)] or found.tag not in own.tags:
            return
        if self._doubles.is_due(now_s, found.boot, found.node):
            for ip in found.addresses:
                self._hearer.on_address(ip, found.fleet_port)

    def _see_foreign(self, now_s: float, found: Found) -> None:
        if found.addresses and self._foreign.is_due(now_s, found.tag, found.node):
            self._hearer.on_foreign(found.tag, found.name, _shown(found))

    def _refuse(self, now_s: float, found: Found) -> None:
        if not self._refused.is_due(now_s, found.node, found.node):
            return
        oldest, newest = found.versions
        self._hearer.on_hint(
            f"somebody says by mDNS: {found.name} speaks versions {oldest} to {newest} of the "
            "fleet's protocol, and this peer none of them: update the older of the two"
        )


def _shown(found: Found) -> str:
    return authority(found.addresses[0], found.fleet_port)
