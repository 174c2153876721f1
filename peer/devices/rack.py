"""The devices of a node with the book of what is on them: put together, kept awake, and shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from cortex.engine.errors import ContextLengthExceeded, InsufficientVram

from ..children.process import Spawn
from ..children.slot import ChildEnd
from ..config import PeerConfig
from ..models.shelf import Shelf
from ..observing.chronicle import Chronicle
from ..observing.health import Placed, Placement
from ..observing.tally import PeerTally
from ..placement.costs_book import CostsBook
from ..placement.habits import Habits
from ..placement.leaving import LeaveReason
from ..placement.load_history import LoadHistory
from ..placement.sizes import MODEST_TOKENS
from ..placement.wording import leaving
from ..types import ModelInfo
from .device import Devices
from .device_memory import budget_bytes, gpu_of, shown_gpu
from .gpu_looks import GpuLooks
from .gpus import Gpu
from .losses import AVOIDED_S, NUM_BAD_LOADS
from .places import Extent, Place
from .residency import Residency
from .steering import NodeSteering
from .yielding import yielders

logger = logging.getLogger(__name__)

_LOOK_S = 10.0


class Rack:
    """`gpus` are those that the driver shows. All of it happens on one event loop."""

    def __init__(
        self,
        config: PeerConfig,
        gpus: Sequence[Gpu],
        tasks: asyncio.TaskGroup,
        spawn: Spawn,
        history: LoadHistory,
        costs: CostsBook,
        tally: PeerTally,
        chronicle: Chronicle,
        shelf: Shelf,
        on_change: Callable[[], None],
    ) -> None:
        self._names = config.engine_devices
        self._tally = tally
        self._chronicle = chronicle
        self._shelf = shelf
        self._costs = costs
        self._alarm: asyncio.TimerHandle | None = None
        self._is_closed = False
        shown = ((name, gpu_of(config, name, gpus)) for name in self._names)
        budgets = [budget_bytes(config, name, gpu) for name, gpu in shown]
        self.devices = Devices(
            config, budgets, tasks, self._lose_engine, spawn, history, costs, tally, chronicle
        )
        self.devices.look_at_gpus(gpus, {}, [0] * len(budgets))
        self.residency = Residency(
            self.devices,
            Habits(config),
            tasks,
            config.max_replays,
            at_home=self._at_home,
            on_change=on_change,
            on_leave=self._note_leaving,
            wake_after=self._wake_after,
            must_look=self._must_look,
        )
        self.steering = NodeSteering(self.residency, self.devices, shelf)
        look, reserved = self.residency.look, self._reserved_bytes
        looks = [*yielders(config, self.devices, reserved, look), self._look_on()]
        self._gpu_looks: GpuLooks | None = None
        if any(name.startswith("cuda") or shown_gpu(config, name, gpus) for name in self._names):
            self._gpu_looks = GpuLooks(self.devices, reserved, self._has_use, look)
            looks.append(self._gpu_looks.run())
        self._looking = [tasks.create_task(look, name="look") for look in looks]
        self.residency.look()

    async def close(self) -> None:
        self._is_closed = True
        self._wake_after(None)
        for look in self._looking:
            look.cancel()
        await self.devices.close()

    def wake(self, model: ModelInfo) -> None:
        """Begin to start the engines that it may be loaded by, unless it has a place."""
        every = range(len(self._names))
        if model.id not in self.residency.places:
            allowed = self.residency.habits.devices(model.id, len(every))
            self.devices.wake(each for each in every if each in allowed)

    async def freshen(self) -> None:
        """Return when what is known of the devices is new enough to be shown, soon in any case."""
        if self._gpu_looks is not None:
            await self._gpu_looks.freshen()

    def watched(self) -> AbstractContextManager[None]:
        """Somebody looks on, who is to see what is so now."""
        return nullcontext() if self._gpu_looks is None else self._gpu_looks.watched()

    def reform(self, config: PeerConfig) -> None:
        """From now on models are judged by this config."""
        self.devices.habits = Habits(config)
        self.residency.reform(self.devices.habits)

    @property
    def placement(self) -> Placement:
        """What is on the devices, on its way there, and waited for."""
        books = self.residency.books
        residents = {resident.id: resident for each in books for resident in each.residents}
        placed = (
            Placed(
                place.model,
                place.device,
                place.state,
                place.size,
                place.loaded,
                place.stage if place.state == "loading" else None,
                len(place.holders),
                residents[place.model.id].idle_s,
                residents[place.model.id].age_s,
                residents[place.model.id].is_pinned,
                place.need.priority,
            )
            for place in self.residency.places
        )
        return Placement(tuple(books), tuple(placed), tuple(self.residency.wanted))

    def offered(self, model: ModelInfo) -> ModelInfo:
        """With as much context as it can have here, or has: what somebody has had loaded stays as
        it is, and what a load has taught of others takes nothing from those that are there.
        """
        place = self.residency.places.of(model.id)
        most = 0 if place is None else place.size.context_tokens
        if self._as_wished(model) is None:
            most = max(most, self.devices.most_context(model))
        return replace(model, context_length=most) if most < model.context_length else model

    def listed(self, model: ModelInfo) -> ModelInfo:
        """`offered`, but no more than is usual while nobody knows how much it could have: clients
        count on it.
        """
        if self._costs.known(model) is None and model.context_length > MODEST_TOKENS:
            model = replace(model, context_length=MODEST_TOKENS)
        return self.offered(model)

    @property
    def terms(self) -> tuple[object, ...]:
        """All that `listed` goes by, beside the model."""
        places = ((each.model.id, each.extent, each.size) for each in self.residency.places)
        budgets = (each.budget_bytes for each in self.devices.devices)
        return tuple(places), tuple(budgets), self.devices.habits, self._costs.num_changes

    @contextmanager
    def explained(self, model: ModelInfo, *, is_made: bool = False) -> Generator[None]:
        """Who sends a prompt that is too long is told what would help. A prompt that was made is
        no longer than what is offered: a place that is too small for it is so for now.
        """
        try:
            yield
        except ContextLengthExceeded as error:
            place = self.residency.places.of(model.id)
            has_tokens = place.size.context_tokens if place is not None else 0
            is_for_now = has_tokens < self.offered(model).context_length
            if is_made and is_for_now and self._as_wished(model) is None:
                raise InsufficientVram(
                    f"'{model.id}' has only {has_tokens} tokens of context for now, which are too"
                    " few for this prompt: others have the memory",
                    "try again in a moment, or unload one of those that are in its way",
                ) from None
            more = filter(None, (error.hint, self._why_no_more(model)))
            raise ContextLengthExceeded(error.message, "; ".join(more), param=error.param) from None

    def _why_no_more(self, model: ModelInfo) -> str:
        """What would give it more context than it can have here; "" where it has no more."""
        if self.offered(model) is not model:
            if self._as_wished(model) is not None:
                return "cortex load with a larger --context gives it more"
            return "more takes a device with more memory, or a larger --memory"
        return self.devices.habits.more_context(model)

    def _as_wished(self, model: ModelInfo) -> Place | None:
        """Where it is as somebody has said that it should be."""
        place = self.residency.places.of(model.id)
        return place if place is not None and place.extent != Extent() else None

    def _at_home(self) -> list[ModelInfo]:
        stored = {model.id: model for model in self._shelf.catalogue.models}
        return [stored[id] for id in self.residency.habits.at_home if id in stored]

    def _reserved_bytes(self) -> list[int]:
        return [each.reserved_bytes for each in self.residency.books]

    def _lose_engine(self, device: int, end: ChildEnd) -> None:
        if not end.is_wanted:
            self._chronicle.add("engine_lost", f"{self._names[device]}: {end.error.message}")
        was_avoided = self.residency.is_avoided(device)
        self.residency.lose(device, end)
        if self.residency.is_avoided(device) and not was_avoided:
            words = f"{NUM_BAD_LOADS} loads or starts in a row ended its engine"
            if len(self._names) > 1:
                words += f": others are chosen before it for {AVOIDED_S / 60:g} min"
            self._chronicle.add("engine_lost", f"{self._names[device]}: {words}")

    def _note_leaving(self, place: Place, reason: LeaveReason, wanted: str) -> None:
        self._tally.evictions[place.model.id, reason] += 1
        logger.info(
            "model leaves model=%s reason=%s for=%s device=%s bytes=%d",
            *(place.model.id, reason, wanted or "-", self._names[place.device]),
            place.size.num_bytes,
        )
        what, text = leaving(place.model.id, reason, wanted, place.size.num_bytes)
        self._chronicle.add(what, text, place.model.id)

    def _must_look(self) -> bool:
        return self._gpu_looks is not None and self._gpu_looks.must_look()

    def _has_use(self) -> bool:
        """Whether a model has any of the devices, or is to have it."""
        return bool(self.residency.wanted or any(True for _ in self.residency.places))

    async def _look_on(self) -> None:
        """At what nobody tells: an engine that was started and has got nothing to do, and time that
        has passed while the machine slept, when no alarm rings.
        """
        while True:
            await asyncio.sleep(_LOOK_S)
            self.residency.look()

    def _wake_after(self, seconds: float | None) -> None:
        """Look at the devices then, and not before."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None
        if seconds is not None and not self._is_closed:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(seconds, self.residency.look)
