"""What may be done to this peer's models beside asking them: load, let go, pin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from cortex.engine.errors import ModelNotFound
from cortex.engine.memory import MAX_SEQUENCES
from cortex.engine.stream import Stage

from ..errors import JobCancelled, ModelPinned, UnsupportedParameter
from ..gossip.ids import ID_BYTES, ModelId, NodeId
from ..models.shelf import Shelf
from ..placement.books import Need
from ..placement.fit import NoFit, fit
from ..placement.plan import LoadWish, Plan, Planned, Refusal, planned
from ..placement.planning import refusal
from ..types import ModelInfo
from .device import Devices
from .places import Extent, Place
from .residency import Residency

# What the peer is called is its fleet's to know: whoever tells a plan puts the name in its place.
_NOBODY = NodeId(bytes(ID_BYTES))


class NodeSteering:
    """For the devices of one node; everything is called on its loop. A load that is wished for goes
    on when whoever wished for it has left, unless nobody else wants it; doing again what is done
    already does no harm. A plan's peer is nobody.
    """

    def __init__(self, residency: Residency, devices: Devices, shelf: Shelf) -> None:
        self._residency = residency
        self._devices = devices
        self._shelf = shelf

    def plan(self, wish: LoadWish) -> Planned:
        """What `load` would do now; acts on nothing."""
        model = self._of_weights(wish.model)
        if model is None:
            return Planned(
                None, (Refusal(_NOBODY, None, "absent", "the model is not on its disk"),)
            )
        try:
            extent = self._extent(model, wish)
        except UnsupportedParameter as error:
            words = f"{error.message}: {error.hint}"
            return Planned(None, (Refusal(_NOBODY, None, "too large", words),))
        place = self._residency.places.of(model.id)
        if place is not None and place.state != "unloading" and place.serves(model, extent):
            return Planned(self._as_it_is(place))
        need = self._devices.need_of(model, extent)
        if need is None:
            words = "nobody has looked yet what the model takes"
            return Planned(None, (Refusal(_NOBODY, None, "unknown", words),))
        outcomes = list(self._outcomes(model, need))
        outcomes.sort(key=_preference)
        if not outcomes:
            words = "models.toml lets it be on none of the devices that are here"
            return Planned(None, (Refusal(_NOBODY, None, "away", words),))
        return planned(outcomes)

    def keep(self, wish: LoadWish) -> None:
        """As the load is ordered, which may be long before it begins: an unload that was ordered
        earlier, and has not begun, is undone where the model is as it is wished for.
        """
        model = self._of_weights(wish.model)
        if model is not None:
            self._residency.keep(model, _extent(wish))

    async def load(self, wish: LoadWish, on_stage: Callable[[Stage], None]) -> Plan:
        """Return when the model is ready, with the plan as it was carried out.

        Raises ModelNotFound, UnsupportedParameter for more context than the model has,
        InsufficientVram with the refusals in words, or what the load failed with.
        """
        model = self._of_weights(wish.model)
        if model is None:
            raise ModelNotFound(f"no model of the weights {wish.model.hex()} is on this peer")
        extent = self._extent(model, wish)
        before = self._residency.places.of(model.id)
        place = await self._residency.summon(model, on_stage, extent, is_forced=wish.is_forced)
        if place is before:
            return self._as_it_is(place)
        return replace(
            self._as_it_is(place),
            is_there=False,
            victims=place.victims,
            seconds=place.loaded.seconds if place.loaded else None,
            free_bytes=place.free_bytes,
        )

    async def unload(self, model_id: str, *, is_forced: bool = False) -> None:
        """Return when it is gone. What it is answering ends first; with `is_forced` that is ended.

        Who waits no longer for what is being answered takes that back. Raises ModelNotFound,
        ModelPinned unless forced, or JobCancelled where a load that was ordered later keeps it.
        """
        self._shelf.catalogue.find(model_id)
        if model_id in self._residency.pinned and not is_forced:
            raise ModelPinned(
                f"'{model_id}' is pinned here", "unpin it first, or insist with --force"
            )
        if not await self._residency.unload(model_id, is_forced=is_forced):
            raise JobCancelled(
                f"'{model_id}' stays: a load of it was ordered after this unload",
                "order the unload again where it is to go",
            )

    def pin(self, model_id: str, *, is_pinned: bool) -> None:
        """What is pinned is no victim, and does not go when idle. Raises ModelNotFound."""
        self._shelf.catalogue.find(model_id)
        self._residency.pin(model_id, is_pinned=is_pinned)

    def _extent(self, model: ModelInfo, wish: LoadWish) -> Extent:
        most, extent = model.context_length, _extent(wish)
        if extent.context_tokens > most:
            steps = f"ask for {most} or less", self._devices.habits.more_context(model)
            raise UnsupportedParameter(
                f"'{model.id}' has {most} tokens of context at most",
                "; ".join(filter(None, steps)),
                param="context",
            )
        return extent

    def _of_weights(self, weights: ModelId) -> ModelInfo | None:
        models = self._shelf.catalogue.models
        return next((model for model in models if model.weights == weights), None)

    def _as_it_is(self, place: Place) -> Plan:
        parts = self._devices.parts_of(place.model, place.size)
        model = ModelId(place.model.weights)
        free_bytes = self._residency.books[place.device].free_bytes
        whole_s = self._devices.reload_s(place.model) if place.state == "loading" else 0.0
        return Plan(
            _NOBODY, place.device, model, place.size, parts,
            seconds=whole_s, is_there=True, free_bytes=free_bytes,
        )  # fmt: skip

    def _outcomes(self, model: ModelInfo, need: Need) -> Iterator[Plan | Refusal]:
        """What a load would do on each device that it may be on."""
        load_s, habits = self._devices.reload_s(model), self._residency.habits
        every = self._residency.books
        allowed = habits.devices(model.id, len(every))
        for books in (each for each in every if each.index in allowed):
            # Where it is already, but smaller, it would go first.
            others = tuple(each for each in books.residents if each.id != model.id)
            device = replace(books, residents=others)
            found = fit(device, need, habits.rules)
            if isinstance(found, NoFit):
                yield refusal(_NOBODY, device, need, found)
                continue
            parts = self._devices.parts_of(model, found.size)
            yield Plan(
                _NOBODY, device.index, need.model, found.size, parts, found.victims,
                None if load_s is None else load_s + found.cost_s,
                free_bytes=device.free_bytes, is_tight=found.is_tight,
            )  # fmt: skip


def _extent(wish: LoadWish) -> Extent:
    """Of slots no more than the engine has."""
    return Extent(wish.context_tokens or 0, min(wish.num_slots or 0, MAX_SEQUENCES))


def _preference(one: Plan | Refusal) -> tuple[float, ...]:
    if isinstance(one, Refusal):
        return ()
    return one.is_tight, one.seconds or 0.0, -one.free_bytes, one.device
