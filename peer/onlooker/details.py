"""One peer seen closely: what `GET /fleet/peers/{name}` tells, as the peer itself had it.

None stands for what nobody knows; fields that the reader does not know are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ..orders.facts import DeviceFacts, PeerFacts, PlacedFacts, RatesFacts
from .reading import read, unix_time

PeerDetail: TypeAlias = PeerFacts
DeviceDetail: TypeAlias = DeviceFacts
PlacedDetail: TypeAlias = PlacedFacts
RatesDetail: TypeAlias = RatesFacts


def read_detail(told: Mapping[str, Any]) -> PeerDetail:
    """Raises ValueError where no peer can have said that."""
    detail = read(PeerFacts, told)
    for event in detail.events:
        unix_time(event.time_s)
    return detail
