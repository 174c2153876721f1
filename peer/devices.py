"""The devices of one peer: an engine process for each, their budgets, and what models take there.

Which model goes where is decided by `residency.py`, for which this does the work.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence

from cortex.engine.costs import MemoryPart
from cortex.engine.errors import CortexError
from cortex.engine.messages import Loaded
from cortex.engine.types import Stage

from .children import ChildEnd
from .commands import engine_spec
from .config import PeerConfig
from .engine_side import EngineSide
from .gossip.ids import ModelId
from .placement.books import DeviceBooks, Need, Size
from .placement.habits import Habits
from .places import Extent, Place
from .process import Spawn
from .routing.load_history import LoadHistory, with_eta
from .tally import PeerTally
from .types import ModelInfo


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
        tally: PeerTally,
    ) -> None:
        self._habits = Habits(config)
        self._history = history
        self._tally = tally
        self._engines = [
            EngineSide(
                engine_spec(config, name),
                tasks,
                config.step_deadline_s,
                functools.partial(on_death, index),
                spawn,
            )
            for index, name in enumerate(config.engine_devices)
        ]
        self._devices = tuple(
            DeviceBooks(index, name, budget_bytes)
            for index, (name, budget_bytes) in enumerate(
                zip(config.engine_devices, budgets, strict=True)
            )
        )

    @property
    def devices(self) -> Sequence[DeviceBooks]:
        return self._devices

    @property
    def engines(self) -> Sequence[EngineSide]:
        return self._engines

    def engine(self, device: int) -> EngineSide:
        return self._engines[device]

    def wake(self) -> None:
        for engine in self._engines:
            engine.slot.wake()

    async def close(self) -> None:
        await asyncio.gather(*(engine.slot.close() for engine in self._engines))

    def need_of(self, model: ModelInfo, extent: Extent) -> Need | None:
        """All of a device: what a model takes is not known."""
        num_bytes = min(device.budget_bytes for device in self._devices)
        size = Size(extent.context_tokens or model.context_length, extent.num_slots, num_bytes)
        return Need(ModelId(model.weights), model.id, (size,), self._habits.priority(model.id))

    def parts_of(self, model: ModelInfo, size: Size) -> tuple[MemoryPart, ...]:
        """The sum behind a size."""
        return (MemoryPart("all of the device", size.num_bytes),)

    async def learn(self, model: ModelInfo) -> None:
        raise AssertionError("what a model takes is known")

    async def load(self, place: Place, on_stage: Callable[[Stage], None]) -> Loaded:
        model, clock = place.model, asyncio.get_running_loop().time
        weights, began_s = ModelId(model.weights), clock()
        whole_s = self._history.eta_s(weights, model.size_bytes)
        tally = self._tally.of(model.id)
        try:
            loaded = await self._engines[place.device].load(
                model,
                place.size,
                lambda stage: on_stage(with_eta(stage, whole_s, clock() - began_s)),
            )
        except CortexError:
            tally.num_failed_loads += 1
            raise
        took_s = clock() - began_s
        tally.load.add(took_s)
        if weights:
            self._history.add(weights, model.size_bytes, took_s)
        return loaded

    async def unload(self, place: Place) -> None:
        await self._engines[place.device].unload(place.model.id)
