"""What is told of a node that is in a certain state. Pure; when it is told is `own.py`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cortex.engine.types import Stage

from ..config import PeerConfig
from ..gossip.ids import ModelId
from ..gossip.records import ModelLoad
from ..gossip.sections import LOADING, READY, Claim, LoadedModel
from ..health import NodeHealth, Placement
from ..types import ModelInfo
from .membership import OwnState
from .rates import Rates
from .view import StoredModel

_MIB = 1 << 20


def own_state(
    config: PeerConfig,
    stored: tuple[ModelInfo, ...],
    placement: Placement,
    health: NodeHealth,
    rates: Rates,
    free_mib: tuple[int, ...],
) -> OwnState:
    """What is told of a node that is like this.

    `slots` is what admission takes, for that is where a request is refused. How many run in one
    batch is told model by model: more than that wait, and are not refused.
    """
    named = {model.id: ModelId(model.weights) for model in stored if model.weights}
    num_waiting, kv_percent = _in_engine(health, placement)
    num_queued = min(len(placement.wanted) + num_waiting, health.live_requests)
    return OwnState(
        stored=tuple(_stored(model) for model in stored if model.weights),
        placed=tuple(_placed(config, placement, named)),
        claims=tuple(_claims(placement, named)),
        loads=tuple(_loads(config, placement, named, num_waiting)),
        is_draining=health.is_draining,
        num_inflight=health.live_requests - num_queued,
        num_queued=num_queued,
        slots=0 if config.is_gateway else config.max_live_requests,
        kv_percent=kv_percent,
        first_token_ms=rates.first_token_ms,
        answer_ms=rates.answer_ms,
        decode_tokens_per_s=rates.decode_tokens_per_s,
        free_mib=free_mib,
    )


def _stored(model: ModelInfo) -> StoredModel:
    return StoredModel(
        ModelId(model.weights),
        model.id,
        model.size_bytes,
        model.context_length,
        model.capabilities,
        model.created_s,
    )


def _placed(
    config: PeerConfig, placement: Placement, named: dict[str, ModelId]
) -> Iterator[LoadedModel]:
    for model, state in ((placement.resident, READY), (placement.loading, LOADING)):
        weights = _name(model, named)
        if model is not None and weights is not None:
            yield LoadedModel(
                model=weights,
                name=model.id,
                state=state,
                size_mib=model.size_bytes // _MIB,
                context_tokens=model.context_length,
                num_slots=_num_slots(config, placement),
                capabilities=0,
                computes_in=_computes_in(placement) if state == READY else "",
            )


def _claims(placement: Placement, named: dict[str, ModelId]) -> Iterator[Claim]:
    """A model that requests wait for is claimed before its load begins: it is on its way."""
    loading = _name(placement.loading, named)
    if loading is not None:
        yield Claim(loading, _percent(placement.stage))
    spoken_of = {loading, _name(placement.resident, named), None}
    for model in dict.fromkeys(_name(wanted, named) for wanted in placement.wanted):
        if model is not None and model not in spoken_of:
            yield Claim(model, 0)


def _loads(
    config: PeerConfig, placement: Placement, named: dict[str, ModelId], num_waiting: int
) -> Iterator[ModelLoad]:
    num_wanted = Counter(_name(wanted, named) for wanted in placement.wanted)
    resident, loading = _name(placement.resident, named), _name(placement.loading, named)
    if resident is not None:
        num_free = max(_num_slots(config, placement) - placement.num_granted, 0)
        num_running = max(placement.num_granted - num_waiting, 0)
        yield ModelLoad(resident, num_running, num_wanted[resident] + num_waiting, num_free)
    if loading is not None:
        yield ModelLoad(loading, 0, num_wanted[loading], 0)


def _name(model: ModelInfo | None, named: dict[str, ModelId]) -> ModelId | None:
    """The weights as they were when the model was taken up; where they had no name then, as now."""
    if model is None:
        return None
    return ModelId(model.weights) if model.weights else named.get(model.id)


def _num_slots(config: PeerConfig, placement: Placement) -> int:
    """How many requests run in one batch."""
    told = placement.loaded.num_slots if placement.loaded is not None else 0
    return min(told, config.max_live_requests) if told else config.max_live_requests


def _computes_in(placement: Placement) -> str:
    return placement.loaded.computes_in if placement.loaded is not None else ""


def _percent(stage: Stage | None) -> int:
    if stage is None or stage.name != "loading" or not stage.total:
        return 0
    return min(100 * stage.done // stage.total, 100)


def _in_engine(health: NodeHealth, placement: Placement) -> tuple[int, int]:
    """Requests that wait inside the engine, and how full its pages are, as it said last."""
    alive, resident = health.engine.last_alive, placement.resident
    if alive is None or resident is None:
        return 0, 0
    status = next((each for each in alive.models if each.model_id == resident.id), None)
    if status is None:
        return 0, 0
    percent = 100 * status.num_used_pages // status.num_pages if status.num_pages else 0
    return min(status.num_waiting, placement.num_granted), percent
