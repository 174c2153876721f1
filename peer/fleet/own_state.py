"""What is told of a node that is in a certain state. Pure; when it is told is `own.py`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from cortex.engine.costs import ModelCosts
from cortex.engine.stream import Stage

from ..config import PeerConfig
from ..devices.device_memory import shown_gpu
from ..devices.gpus import Gpu
from ..gossip.ids import ID_BYTES, ModelId
from ..gossip.records import LOAD_DRAINING, NO_LOAD, ModelLoad
from ..gossip.sections import LOADING, READY, UNLOADING, Claim, LoadedModel
from ..observing.health import NodeHealth, Placed, Placement
from ..placement.ages import told_age
from ..placement.books import DeviceBooks, ResidentState
from ..types import ModelInfo
from .membership import OwnState
from .rates import Rates
from .telling import count
from .view import StoredModel

_MIB = 1 << 20
# Free memory never stands still; told in steps, an idle peer has nothing to tell.
_MAX_FREE_STEP_MIB = 256
_FREE_STEPS = 64
_NO_WEIGHTS = bytes(ID_BYTES)
_STATES: dict[ResidentState, int] = {"loading": LOADING, "ready": READY, "unloading": UNLOADING}


def own_state(
    config: PeerConfig,
    stored: tuple[ModelInfo, ...],
    placement: Placement,
    health: NodeHealth,
    rates: Rates,
    costs_of: Callable[[ModelInfo], ModelCosts | None] = lambda model: None,
    gpus: Sequence[Gpu] = (),
) -> OwnState:
    """What is told of a node that is like this; `gpus` are those that the driver shows.

    `slots` is what admission takes, for that is where a request is refused. How many run in one
    batch is told model by model: more than that wait, and are not refused.
    """
    named = {model.id: ModelId(model.weights) for model in stored if model.weights}
    running = tuple(_running(config, health, placed) for placed in placement.ready)
    num_queued = len(placement.wanted) + sum(each.num_waiting for each in running)
    num_queued = min(num_queued, health.live_requests)
    return OwnState(
        stored=tuple(stored_model(model, costs_of(model)) for model in stored if model.weights),
        placed=tuple(_placed(config, placement, named)),
        claims=tuple(_claims(placement, named)),
        load=msgspec.structs.replace(
            NO_LOAD,
            flags=LOAD_DRAINING if health.is_draining else 0,
            num_inflight=health.live_requests - num_queued,
            num_queued=num_queued,
            kv_percent=max((each.kv_percent for each in running), default=0),
            first_token_ms=count(rates.first_token_ms),
            decode_tokens_per_s=count(rates.decode_tokens_per_s),
            free_mib=tuple(_free_mib(device) for device in placement.devices),
            models=tuple(_loads(placement, running, named, rates.speed_steps)),
            busy_percents=tuple(_busy_percents(config, placement, gpus)) if gpus else (),
        ),
        slots=0 if config.is_gateway else config.max_live_requests,
        stay_ms=rates.stay_ms,
        stays_ms=dict(_stays_ms(running, named, rates.stays_ms)),
    )


def _free_mib(device: DeviceBooks) -> int:
    """A small budget is told in small steps: models are planned into what is told."""
    step_mib = max(1, min(_MAX_FREE_STEP_MIB, device.budget_bytes // _MIB // _FREE_STEPS))
    return max(device.free_bytes, 0) // _MIB // step_mib * step_mib


def _busy_percents(
    config: PeerConfig, placement: Placement, gpus: Sequence[Gpu]
) -> Iterator[int | None]:
    """What the driver says is told along with other news of the load, or with its refreshment."""
    for device in placement.devices:
        gpu = shown_gpu(config, device.name, gpus)
        share = None if gpu is None else gpu.utilisation
        yield None if share is None else round(share * 100)


def stored_model(model: ModelInfo, costs: ModelCosts | None = None) -> StoredModel:
    return StoredModel(
        ModelId(model.weights or _NO_WEIGHTS),
        model.id,
        model.size_bytes,
        model.context_length,
        model.capabilities,
        model.created_s,
        costs and replace(costs, precision=""),  # how it computes it tells once it is loaded
    )


def _placed(
    config: PeerConfig, placement: Placement, named: dict[str, ModelId]
) -> Iterator[LoadedModel]:
    for placed in placement.placed:
        weights = _name(placed.model, named)
        if weights is not None:
            yield LoadedModel(
                model=weights,
                name=placed.model.id,
                state=_STATES[placed.state],
                size_mib=placed.model.size_bytes // _MIB,
                context_tokens=placed.size.context_tokens,
                num_slots=_num_slots(config, placed),
                computes_in=placed.loaded.computes_in if placed.loaded else "",
                device=placed.device,
                reserved_mib=placed.size.num_bytes // _MIB,
                is_pinned=placed.is_pinned,
                priority=placed.priority,
            )


def _claims(placement: Placement, named: dict[str, ModelId]) -> Iterator[Claim]:
    """A model that requests wait for is claimed before its load begins: it is on its way."""
    spoken_of: set[ModelId | None] = {None}
    for placed in placement.placed:
        weights = _name(placed.model, named)
        if weights is not None and placed.state == "loading":
            yield Claim(weights, _percent(placed.stage))
        if placed.state != "unloading":
            spoken_of.add(weights)
    for model in dict.fromkeys(_name(wanted, named) for wanted in placement.wanted):
        if model is not None and model not in spoken_of:
            yield Claim(model, 0)


def _loads(
    placement: Placement,
    running: Iterable[_Running],
    named: dict[str, ModelId],
    speed_steps: Mapping[str, int],
) -> Iterator[ModelLoad]:
    num_wanted = Counter(_name(wanted, named) for wanted in placement.wanted)
    for each in running:
        weights = _name(each.model, named)
        if weights is not None:
            num_queued = num_wanted[weights] + each.num_waiting
            yield ModelLoad(
                weights,
                each.num_running,
                num_queued,
                each.num_slots_free,
                told_age(each.idle_s),
                told_age(each.age_s),
                speed_steps.get(each.model.id, 0),
            )
    for placed in placement.placed:
        weights = _name(placed.model, named)
        if weights is not None and placed.state == "loading":
            yield ModelLoad(weights, 0, num_wanted[weights], 0)


def _stays_ms(
    running: Iterable[_Running], named: dict[str, ModelId], stays_ms: Mapping[str, int]
) -> Iterator[tuple[ModelId, int]]:
    for each in running:
        weights = _name(each.model, named)
        if weights is not None and each.model.id in stays_ms:
            yield weights, stays_ms[each.model.id]


@dataclass(frozen=True, slots=True)
class _Running:
    """A model that answers: `num_waiting` requests wait inside its engine, whose pages are full to
    `kv_percent`, as it said last.
    """

    model: ModelInfo
    num_running: int
    num_waiting: int
    num_slots_free: int
    kv_percent: int
    idle_s: float
    age_s: float


def _running(config: PeerConfig, health: NodeHealth, placed: Placed) -> _Running:
    engine = health.engines[placed.device]
    alive = engine.last_alive
    models = () if alive is None else alive.models
    status = next((each for each in models if each.model_id == placed.model.id), None)
    num_waiting = 0 if status is None else min(status.num_waiting, placed.num_granted)
    num_free = max(_num_slots(config, placed) - placed.num_granted, 0)
    percent = 0
    if status is not None and status.num_pages:
        percent = min(100 * status.num_used_pages // status.num_pages, 100)
    return _Running(
        placed.model,
        num_running=placed.num_granted - num_waiting,
        num_waiting=num_waiting,
        # A device that stands still may be wedged: until that is certain, others go first.
        num_slots_free=0 if engine.is_still else num_free,
        kv_percent=percent,
        idle_s=placed.idle_s,
        age_s=placed.age_s,
    )


def _name(model: ModelInfo | None, named: dict[str, ModelId]) -> ModelId | None:
    """The weights as they were when the model was taken up; where they had no name then, as now."""
    if model is None:
        return None
    return ModelId(model.weights) if model.weights else named.get(model.id)


def _num_slots(config: PeerConfig, placed: Placed) -> int:
    """How many requests run in one batch."""
    told = placed.loaded.num_slots if placed.loaded is not None else 0
    return min(told, config.max_live_requests) if told else config.max_live_requests


def _percent(stage: Stage | None) -> int:
    if stage is None or stage.name != "loading" or not stage.total:
        return 0
    return min(100 * stage.done // stage.total, 100)
