"""One peer seen closely: what `GET /fleet/peers/{name}` tells, as values.

None stands for what nobody knows; fields that the reader does not know are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .reading import complete, dict_of, list_of, number, optional, text, whole


@dataclass(frozen=True, slots=True)
class PartDetail:
    """`what` is weights, cache, states, image, work or other; a newer peer may know more words."""

    what: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class PlacedDetail:
    """A model in an engine, or on its way there: `state` is ready, loading or unloading."""

    id: str
    state: str
    parts: tuple[PartDetail, ...]


@dataclass(frozen=True, slots=True)
class DeviceDetail:
    """`foreign_bytes` are held by programs that are none of the peer's."""

    name: str
    kind: str
    memory_bytes: int
    free_bytes: int
    foreign_bytes: int
    utilisation: float | None
    temperature_c: float | None
    power_w: float | None
    models: tuple[PlacedDetail, ...]


@dataclass(frozen=True, slots=True)
class RatesDetail:
    """The percentiles and what ends in `_5m` are of the last five minutes."""

    decode_tokens_per_s: float
    prompt_tokens_per_s: float
    running: int
    waiting: int
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    cached_ratio: float | None
    requests_5m: int
    errors_5m: int
    failovers_5m: int
    evictions_5m: int


@dataclass(frozen=True, slots=True)
class RoundTrip:
    peer: str
    ms: float


@dataclass(frozen=True, slots=True)
class PastEvent:
    """`time_s` is of Unix."""

    time_s: float
    text: str


@dataclass(frozen=True, slots=True)
class PeerDetail:
    node: str
    name: str
    version: str
    uptime_s: float
    api: str | None
    key_id: str
    devices: tuple[DeviceDetail, ...]
    rates: RatesDetail
    round_trips: tuple[RoundTrip, ...]
    events: tuple[PastEvent, ...]


@complete
def read_detail(told: Mapping[str, Any]) -> PeerDetail:
    """Raises ValueError where no peer can have said that."""
    return PeerDetail(
        text(told["node"]),
        text(told["name"]),
        text(told["version"]),
        number(told["uptime_s"]),
        optional(told["api"], text),
        text(told["key_id"]),
        tuple(_device(dict_of(device)) for device in list_of(told["devices"])),
        _rates(dict_of(told["rates"])),
        tuple(_round_trip(dict_of(one)) for one in list_of(told["round_trips"])),
        tuple(_event(dict_of(one)) for one in list_of(told["events"])),
    )


def _device(told: dict[str, Any]) -> DeviceDetail:
    return DeviceDetail(
        text(told["name"]),
        text(told["kind"]),
        whole(told["memory_bytes"]),
        whole(told["free_bytes"]),
        whole(told["foreign_bytes"]),
        optional(told.get("utilisation"), number),
        optional(told.get("temperature_c"), number),
        optional(told.get("power_w"), number),
        tuple(_placed(dict_of(model)) for model in list_of(told["models"])),
    )


def _placed(told: dict[str, Any]) -> PlacedDetail:
    parts = (dict_of(part) for part in list_of(told["parts"]))
    return PlacedDetail(
        text(told["id"]),
        text(told["state"]),
        tuple(PartDetail(text(part["what"]), whole(part["bytes"])) for part in parts),
    )


def _rates(told: dict[str, Any]) -> RatesDetail:
    return RatesDetail(
        number(told["decode_tokens_per_s"]),
        number(told["prompt_tokens_per_s"]),
        whole(told["running"]),
        whole(told["waiting"]),
        optional(told.get("ttft_p50_s"), number),
        optional(told.get("ttft_p95_s"), number),
        optional(told.get("cached_ratio"), number),
        whole(told["requests_5m"]),
        whole(told["errors_5m"]),
        whole(told["failovers_5m"]),
        whole(told["evictions_5m"]),
    )


def _round_trip(told: dict[str, Any]) -> RoundTrip:
    return RoundTrip(text(told["peer"]), number(told["ms"]))


def _event(told: dict[str, Any]) -> PastEvent:
    return PastEvent(number(told["time"]), text(told["text"]))
