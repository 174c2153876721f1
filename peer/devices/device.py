"""The devices of one peer: an engine process for each, their budgets, and what models take there.

Which model goes where is decided by `residency.py`, for which this does the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count

from cortex.engine.costs import MemoryPart, ModelCosts
from cortex.engine.errors import CortexError, DevicePoisoned, EngineFailed, LoadCancelled
from cortex.engine.messages import Loaded
from cortex.engine.stream import Stage

from ..children.commands import engine_spec
from ..children.engine_side import EngineSide, EngineUse
from ..children.process import Spawn
from ..children.slot import ChildEnd, ChildSlot
from ..config import PeerConfig
from ..gossip.ids import ModelId
from ..observing.chronicle import Chronicle
from ..observing.tally import PeerTally
from ..placement.books import DeviceBooks, Need, Size
from ..placement.costs_book import CostsBook
from ..placement.habits import Habits
from ..placement.load_history import HERE, LoadHistory, with_eta
from ..placement.sizes import comfort_tokens, most_context, parts, sizes
from ..types import ModelInfo
from ..units import memory
from .device_memory import (
    budget_bytes,
    foreign_bytes,
    foreign_gpu_bytes,
    foreign_shared_bytes,
    gpu_of,
    is_of_start,
    private_bytes,
    prompts_bytes,
)
from .gpus import Gpu
from .places import Extent, Place
from .refusals import Refusals
from .wear import is_swollen, is_torn

logger = logging.getLogger(__name__)

# What is remembered of prompts has a quarter of a CPU's memory, a third of what the models have.
_REMEMBERED_PART = 3


# So long a peer's start waits at most for what engines find on their GPUs.
_ASK_MEMORY_S = 30.0

# One that has "stopped" is started again for who asks it.
_DOES_NOT_START = ("resting", "failed")


class Devices:
    """`on_death` is told on which device an engine process ended. Implements `moving.Engines`."""

    def __init__(
        self,
        config: PeerConfig,
        budgets: Sequence[int],
        tasks: asyncio.TaskGroup,
        on_death: Callable[[int, ChildEnd], None],
        spawn: Spawn,
        history: LoadHistory,
        costs: CostsBook,
        tally: PeerTally,
        chronicle: Chronicle,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self.habits = Habits(config)
        self._history, self._costs = history, costs
        self._tally = tally
        self._chronicle = chronicle
        # By device, whose process it was and what it took when it was new.
        self._empty_bytes: dict[int, tuple[int, int]] = {}
        self._refusals, self._clock = Refusals(), clock
        self.engines = [
            EngineSide(
                engine_spec(config, name),
                tasks,
                config.step_deadline_s,
                functools.partial(on_death, index),
                spawn,
            )
            for index, name in enumerate(config.engine_devices)
        ]
        names = config.engine_devices
        self.devices: Sequence[DeviceBooks] = tuple(
            DeviceBooks(index, name, num_bytes, is_of_start=is_of_start(config, name))
            for index, name, num_bytes in zip(count(), names, budgets)
        )
        # As the driver showed them last; none while its tool does not answer.
        self.gpus: Sequence[Gpu] = ()

    def wake(self, devices: Iterable[int] | None = None) -> None:
        """Begin to start the engines of these devices; of all where none are named."""
        for device in range(len(self.engines)) if devices is None else devices:
            self.engines[device].slot.wake()

    async def close(self) -> None:
        await asyncio.gather(*(engine.slot.close() for engine in self.engines))

    def need_of(self, model: ModelInfo, extent: Extent) -> Need | None:
        """None where nobody has asked the engine yet what the model takes."""
        costs = self._costs.known(model)
        if costs is None:
            return None
        budgets = {device.budget_bytes for device in self.devices}
        ways = {
            budget: sizes(
                costs,
                context_limit_tokens=model.context_length,
                wanted_context=extent.context_tokens or None,
                wanted_slots=extent.num_slots or self.habits.num_slots(model.id),
                device_budget_bytes=budget,
            )
            for budget in budgets
        }
        return Need(
            ModelId(model.weights),
            model.id,
            ways[min(budgets)],
            self.habits.priority(model.id),
            {device.index: ways[device.budget_bytes] for device in self.devices},
            comfort_tokens=comfort_tokens(ways[min(budgets)]),
        )

    def precision_of(self, model: ModelInfo) -> str:
        """What `Place.computes_in` would begin with; "" where nobody knows, or it may be either:
        any device may have told the costs, and another card computes in other numbers.
        """
        costs, names = self._costs.known(model), [device.name for device in self.devices]
        kinds = {card.name if (card := self._config.card_of(name)) else name for name in names}
        return costs.precision if costs is not None and len(kinds) == 1 else ""

    def most_context(self, model: ModelInfo) -> int:
        """What the best of its devices could give it; what it may have, where nobody knows yet."""
        costs, num_slots = self._costs.known(model), self.habits.num_slots(model.id)
        allowed = self.habits.devices(model.id, len(self.devices))
        budgets = {each.budget_bytes for each in self.devices if each.index in allowed}
        if costs is None:
            return model.context_length
        told = budgets - {0}  # of a card that says nothing nobody knows
        found = (most_context(costs, model.context_length, num_slots, each) for each in told)
        return max(found, default=model.context_length)

    def parts_of(self, model: ModelInfo, size: Size) -> tuple[MemoryPart, ...]:
        """The sum behind a size."""
        costs = self._costs.known(model)
        return () if costs is None else parts(costs, size)

    def reload_s(self, model: ModelInfo) -> float | None:
        return self._history.eta_at_s(HERE, ModelId(model.weights), model.size_bytes)

    @property
    def share_memory(self) -> bool:
        """Whether other programs of this machine take memory that any of them has."""
        return any(map(self._shares_memory, self.devices))

    def look_at_memory(self, available_bytes: int, reserved_bytes: Sequence[int]) -> bool:
        """See what other programs have taken of the machine's memory; whether that has changed.
        What is reserved is by device.
        """
        return self._judge(
            self._within_memory(device, available_bytes, reserved_bytes[device.index])
            for device in self.devices
        )

    def look_at_gpus(
        self, gpus: Sequence[Gpu], held: Mapping[int, int], reserved_bytes: Sequence[int]
    ) -> bool:
        """The same of the GPUs' memory; `held` is by process, what is reserved by device."""
        self.gpus = gpus
        found = [(device, gpu_of(self._config, device.name, gpus)) for device in self.devices]
        return self._judge(
            self._alone(device)
            if gpu is None
            else self._beside(device, gpu, held, reserved_bytes[device.index])
            for device, gpu in found
        )

    async def ask_for_memory(self) -> None:
        """Of GPUs that the driver's tool tells nothing of their engines tell, which are started."""
        unknown = [device for device in self.devices if _is_unknown(device)]
        starts = (self.engines[each.index].slot.ready() for each in unknown)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ASK_MEMORY_S):
                await asyncio.gather(*starts, return_exceptions=True)
        self.look_at_engines()

    def look_at_engines(self) -> bool:
        """What they tell of GPUs that nobody else has told of; whether that is anything new."""
        return self._judge(map(self._alone, self.devices))

    def _alone(self, device: DeviceBooks) -> DeviceBooks:
        """Nobody tells of it now: what was seen last holds, and else what its engine has found."""
        if not _is_unknown(device):
            return device
        alive = self.engines[device.index].slot.last_told
        return replace(device, budget_bytes=budget_bytes(self._config, device.name, None, alive))

    def _judge(self, devices: Iterable[DeviceBooks]) -> bool:
        before, self.devices = self.devices, tuple(devices)
        return self.devices != before

    def _within_memory(
        self, device: DeviceBooks, available_bytes: int, reserved_bytes: int
    ) -> DeviceBooks:
        slot, budget = self.engines[device.index].slot, device.budget_bytes
        if slot.is_burying or not self._shares_memory(device):
            return device
        touched, alive = private_bytes(slot.pid), slot.last_told
        if device.name == "cpu" or alive is None:
            empty = self._empty(device.index, touched)
            room = touched + available_bytes - empty
            remembered = prompts_bytes(budget // _REMEMBERED_PART, room, alive)
            foreign = foreign_bytes(budget, remembered, empty, touched, available_bytes)
            return replace(device, foreign_bytes=foreign)
        foreign = foreign_shared_bytes(budget, reserved_bytes, touched, available_bytes, alive)
        return replace(device, foreign_bytes=foreign)

    def _shares_memory(self, device: DeviceBooks) -> bool:
        """A CPU, or a GPU that has the machine's memory."""
        alive = self.engines[device.index].slot.last_told
        return device.name == "cpu" or (alive is not None and alive.remembered_bytes > 0)

    def _beside(
        self, device: DeviceBooks, gpu: Gpu, held: Mapping[int, int], reserved_bytes: int
    ) -> DeviceBooks:
        slot = self.engines[device.index].slot
        if slot.is_burying:
            return device
        budget = budget_bytes(self._config, device.name, gpu, slot.last_told)
        pid = slot.pid
        has_engine_there = pid is not None and device.name.startswith("cuda")
        held_bytes = held.get(pid or 0) if has_engine_there else 0
        foreign = foreign_gpu_bytes(budget, reserved_bytes, held_bytes, gpu.free_bytes)
        return replace(device, budget_bytes=budget, foreign_bytes=foreign)

    def is_worn(self, device: int, reserved_bytes: int) -> bool:
        slot, budget_bytes = self.engines[device].slot, self.devices[device].budget_bytes
        alive = slot.last_alive
        if alive is not None and is_torn(alive.torn_bytes, budget_bytes - reserved_bytes):
            return True
        pid, empty_bytes = self._empty_bytes.get(device, (None, 0))
        if pid is None or pid != slot.pid:
            return False
        remembered_bytes = budget_bytes // _REMEMBERED_PART
        return is_swollen(private_bytes(pid), empty_bytes + reserved_bytes + remembered_bytes)

    async def renew(self, device: int) -> None:
        slot = self.engines[device].slot
        before_bytes = private_bytes(slot.pid)
        await slot.renew()
        name = self.devices[device].name
        logger.info("engine renewed device=%s it_held=%d", name, before_bytes)

    def use(self, device: int) -> EngineUse:
        return self.engines[device].use

    async def rest(self, device: int) -> bool:
        has_ended = await self.engines[device].rest()
        if has_ended:
            logger.info("engine ended until it is needed device=%s", self.devices[device].name)
        return has_ended

    def _note_empty(self, device: int) -> None:
        """What an engine takes before it has loaded anything; that of a GPU is not seen."""
        pid = self.engines[device].slot.pid
        if self.devices[device].name != "cpu":
            return
        if pid is not None and self._empty_bytes.get(device, (None, 0))[0] != pid:
            self._empty_bytes[device] = pid, private_bytes(pid)

    def _empty(self, device: int, touched_bytes: int) -> int:
        """What the engine of a CPU takes without models, or the next one will: of one that has
        loaded nothing yet it is all that it has.
        """
        noted_pid, empty_bytes = self._empty_bytes.get(device, (None, 0))
        is_known = self.engines[device].slot.pid in (None, noted_pid)
        return empty_bytes if is_known else touched_bytes

    async def learn(self, model: ModelInfo) -> None:
        try:
            await self._costs.find(model)
        except CortexError as error:
            self._tally.of(model.id).num_failed_loads += 1
            self._chronicle.add("failed", f"cannot load {model.id}: {error.message}", model.id)
            raise

    async def estimate(self, model: ModelInfo) -> ModelCosts:
        """What it takes, by the first engine that starts: one GPU that is broken says nothing of
        the others. Raises as the engine does.
        """
        *others, last = sorted(self.engines, key=lambda each: not _may_be_asked(each.slot))
        for engine in others:
            with contextlib.suppress(EngineFailed):
                await engine.slot.ready()
                break
        else:
            engine = last
        return await engine.estimate(model, self._config.max_replays)

    async def survey(self, models: Iterable[ModelInfo]) -> None:
        """Ask what models take that nobody has asked for; not of an engine that does not start or
        was ended until it is needed, and of a model that is refused not again at once.
        """
        models = tuple(models)
        self._refusals.forget_others(models)
        for model in models:
            is_left_alone = self._refusals.is_left_alone(model, self._clock())
            if is_left_alone or self._costs.known(model) is not None:
                continue
            if not any(_may_be_asked(each.slot) for each in self.engines):
                return
            try:
                await self._costs.find(model)
            except (EngineFailed, DevicePoisoned):
                continue  # that says nothing of the model
            except CortexError:  # who wants it loaded is told why not
                self._refusals.refused(model, self._clock())

    async def load(self, place: Place, on_stage: Callable[[Stage], None]) -> Loaded:
        model, clock = place.model, asyncio.get_running_loop().time
        weights, began_s = ModelId(model.weights), clock()
        whole_s = self.reload_s(model)
        tally, costs = self._tally.of(model.id), self._costs.known(model)
        learned = (costs.learned_bytes, costs.num_learned) if costs is not None else (0, 0)

        def tell(stage: Stage) -> None:
            if stage.name == "loading":
                self._note_empty(place.device)
            on_stage(with_eta(stage, whole_s, clock() - began_s))

        engine = self.engines[place.device]
        self._chronicle.add("loading", f"loading {model.id}", model.id)
        try:
            loaded = await engine.load(model, place.size, tell, learned)
        except LoadCancelled:
            words = f"gave up loading {model.id}: nobody waits for it"
            self._chronicle.add("unloaded", words, model.id)
            raise
        except CortexError as error:
            tally.num_failed_loads += 1
            words = f"could not load {model.id}: {error.message}"
            self._chronicle.add("failed", words, model.id)
            raise
        took_s = clock() - began_s
        words = f"loaded {model.id} in {took_s:.1f} s ({memory(place.size.num_bytes)})"
        self._chronicle.add("loaded", words, model.id)
        tally.load.add(took_s)
        self._costs.learn(model, loaded)
        if weights:
            self._history.add(weights, model.size_bytes, took_s)
        return loaded

    def cancel_load(self, place: Place) -> None:
        self.engines[place.device].cancel_load(place.model.id)

    async def unload(self, place: Place) -> None:
        await self.engines[place.device].unload(place.model.id)


def _may_be_asked(slot: ChildSlot) -> bool:
    return slot.state not in _DOES_NOT_START and not slot.is_at_rest


def _is_unknown(device: DeviceBooks) -> bool:
    return device.name.startswith("cuda") and not device.budget_bytes
