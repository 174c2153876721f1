"""A peer described closely, out of what is known of it at once. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from cortex.engine.memory import (
    ENCODED_PICTURES,
    KEYS_AND_VALUES,
    RECURRENT_STATES,
    REMEMBERED_PREFIXES,
    TOTAL,
)

from ..config import PeerConfig
from ..devices.device_memory import gpu_of, shown_gpu
from ..devices.gpus import Gpu
from ..observing.health import NodeHealth, Placed, Placement
from ..observing.recent import Recent
from ..placement.books import DeviceBooks
from ..units import rounded
from .facts import DeviceFacts, Part, PlacedFacts, RatesFacts

_WHAT = {
    "weights": "weights",
    KEYS_AND_VALUES: "cache",
    RECURRENT_STATES: "states",
    ENCODED_PICTURES: "image",
    "work of the largest picture": "image",
    "work of a step": "work",
}
# The sum, and what lies in the host's memory or is nobody's yet.
_NO_PART = (TOTAL, REMEMBERED_PREFIXES, "unused")
_ORDER = ("weights", "cache", "states", "image", "work", "other")


def describe_devices(
    config: PeerConfig, names: Sequence[str], placement: Placement, gpus: Sequence[Gpu]
) -> tuple[DeviceFacts, ...]:
    """`names` are what people call the devices; `gpus` are those that the driver shows."""
    return tuple(
        _device(
            config,
            name,
            device,
            [placed for placed in placement.placed if placed.device == device.index],
            gpus,
        )
        for name, device in zip(names, placement.devices, strict=False)
    )


def describe_rates(
    recent: Recent, now_s: float, placement: Placement, health: NodeHealth
) -> RatesFacts:
    waiting = len(placement.wanted) + sum(
        status.num_waiting
        for engine in health.engines
        if engine.last_alive is not None
        for status in engine.last_alive.models
    )
    waiting = min(waiting, health.live_requests)
    prompted = recent.number(now_s, "prompted")
    return RatesFacts(
        decode_tokens_per_s=recent.per_second(now_s, "completed"),
        prompt_tokens_per_s=recent.per_second(now_s, "read"),
        running=health.live_requests - waiting,
        waiting=waiting,
        ttft_p50_s=rounded(recent.first_token_s(now_s, 0.5), 4),
        ttft_p95_s=rounded(recent.first_token_s(now_s, 0.95), 4),
        cached_ratio=rounded(recent.number(now_s, "cached") / prompted if prompted else None, 4),
        requests_5m=recent.number(now_s, "requests"),
        errors_5m=recent.number(now_s, "errors"),
        failovers_5m=recent.number(now_s, "failovers"),
        evictions_5m=recent.number(now_s, "evictions"),
    )


def _device(
    config: PeerConfig,
    name: str,
    device: DeviceBooks,
    placed: Iterable[Placed],
    gpus: Sequence[Gpu],
) -> DeviceFacts:
    """What of a GPU is in no budget is the driver's or others'; where the tool does not tell how
    large it is, the budget is all that is known of it.
    """
    told, shown = gpu_of(config, device.name, gpus), shown_gpu(config, device.name, gpus)
    # Where a budget is more than there is, nobody told when it was made.
    memory_bytes = device.budget_bytes if told is None else told.memory_bytes
    given_bytes, whole_bytes = config.memory_bytes, None
    if given_bytes is not None and given_bytes < memory_bytes:
        memory_bytes, whole_bytes = given_bytes, memory_bytes
    beside_bytes = max(memory_bytes - device.budget_bytes, 0)
    foreign_bytes = device.foreign_bytes + beside_bytes
    left_bytes = memory_bytes - foreign_bytes - device.reserved_bytes
    return DeviceFacts(
        name=name,
        kind=device.name.partition(":")[0],
        memory_bytes=memory_bytes,
        free_bytes=max(left_bytes, 0),
        foreign_bytes=foreign_bytes,
        models=tuple(
            PlacedFacts(each.model.id, each.state, tuple(parts_of(each))) for each in placed
        ),
        utilisation=None if shown is None else shown.utilisation,
        temperature_c=None if shown is None else shown.temperature_c,
        power_w=None if shown is None else shown.power_w,
        whole_bytes=whole_bytes,
    )


def parts_of(placed: Placed) -> Iterable[Part]:
    """Of all that is reserved for it. Of a model that is on its way, only the whole is known."""
    told: Counter[str] = Counter()
    for part in placed.loaded.memory if placed.loaded is not None else ():
        if part.name not in _NO_PART:
            told[_WHAT.get(part.name, "other")] += part.num_bytes
    told["other"] += max(placed.size.num_bytes - told.total(), 0)
    return (Part(what, told[what]) for what in _ORDER if told[what] > 0)
