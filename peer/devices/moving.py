"""Models on their way in and out of devices: the tasks that do what the book has decided.

What becomes of those who wait, and what is moved when, is `residency.py`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from cortex.engine.errors import CortexError
from cortex.engine.messages import Loaded
from cortex.engine.stream import Stage

from ..children.engine_side import EngineUse
from ..placement.books import DeviceBooks, Need
from ..types import ModelInfo
from .places import Extent, Place, PlaceBook

logger = logging.getLogger(__name__)


class Engines(Protocol):
    """What is done on devices, which count from 0, and what is known of them."""

    @property
    def devices(self) -> Sequence[DeviceBooks]:
        """Their budgets, and what others have of these; no models."""
        ...

    def need_of(self, model: ModelInfo, extent: Extent) -> Need | None:
        """None where nothing is known of it yet: then it is to be learned."""
        ...

    async def learn(self, model: ModelInfo) -> None: ...

    def reload_s(self, model: ModelInfo) -> float | None:
        """How long a load takes, where anything is known of it."""
        ...

    async def load(self, place: Place, on_stage: Callable[[Stage], None]) -> Loaded: ...

    def cancel_load(self, place: Place) -> None:
        """It ends soon, with LoadCancelled where that did not come too late."""
        ...

    async def unload(self, place: Place) -> None: ...

    def is_worn(self, device: int, reserved_bytes: int) -> bool:
        """Whether its engine holds far more memory than its models have reserved."""
        ...

    async def renew(self, device: int) -> None:
        """End its engine, and begin to start another: what it held comes back so."""
        ...

    def use(self, device: int) -> EngineUse:
        """Whether it has an engine that is up, and that does anything."""
        ...

    async def rest(self, device: int) -> bool:
        """End its engine where that is idle, until one is needed again; whether it was."""
        ...


class Mover:
    """`num_cycles` is how many models have gone from each device since its engine began; those that
    are `ending` have one that is being ended, to be started anew, at once or when it is needed.

    `on_moved` is called when something has changed; `on_loaded` before that, with what a load
    came to, and `on_learned` with what the look at a model failed with, if it did.
    """

    def __init__(
        self,
        engines: Engines,
        places: PlaceBook,
        tasks: asyncio.TaskGroup,
        *,
        is_wanted: Callable[[Place], bool],
        on_stage: Callable[[Place, Stage], None],
        on_loaded: Callable[[Place, Loaded | CortexError], None],
        on_learned: Callable[[ModelInfo, CortexError | None], None],
        on_moved: Callable[[], None],
    ) -> None:
        self._engines = engines
        self._places = places
        self._tasks = tasks
        self._is_wanted = is_wanted
        self._on_stage = on_stage
        self._on_loaded = on_loaded
        self._on_learned = on_learned
        self._on_moved = on_moved
        self.num_cycles: Counter[int] = Counter()
        self.ending: set[int] = set()
        self._learning: set[str] = set()

    def load(self, place: Place, victims: Sequence[Place]) -> None:
        """Begin to load it, once the victims have gone."""
        self._tasks.create_task(self._load(place, victims), name="load")

    def unload(self, place: Place) -> None:
        self._tasks.create_task(self._unload(place), name="unload")

    def renew(self, device: int, places: Sequence[Place]) -> None:
        """Begin to start a device's engine anew, and to load again what it had."""
        self.ending.add(device)
        self._tasks.create_task(self._renew(device, places), name="renew")

    def rest(self, device: int) -> None:
        """Begin to end a device's engine, which nobody needs now."""
        self.ending.add(device)
        self._tasks.create_task(self._rest(device), name="rest")

    def learn(self, model: ModelInfo) -> None:
        """Begin to find out what a model takes."""
        if model.id not in self._learning:
            self._learning.add(model.id)
            self._tasks.create_task(self._learn(model), name="learn")

    async def _unload(self, place: Place) -> None:
        if not self._places.has(place):
            return  # its engine has ended: the next one may have been given the model anew
        try:
            await self._engines.unload(place)
        except CortexError as error:
            # Its engine is gone, and it with that.
            logger.warning("unload failed model=%s code=%s", place.model.id, error.code())
        self.num_cycles[place.device] += 1
        self._places.forget(place)
        self._on_moved()

    async def _load(self, place: Place, victims: Sequence[Place]) -> None:
        for victim in victims:
            await self._unload(victim)
        await self._bring(place)
        self._on_moved()

    async def _renew(self, device: int, places: Sequence[Place]) -> None:
        for place in places:
            self._on_stage(place, Stage("defragmenting"))
        await self._engines.renew(device)
        self.num_cycles[device] = 0
        self.ending.discard(device)
        for place in places:
            await self._bring(place)
        self._on_moved()

    async def _rest(self, device: int) -> None:
        if await self._engines.rest(device):
            self.num_cycles[device] = 0
        self.ending.discard(device)
        self._on_moved()

    def give_up(self, place: Place) -> None:
        """Begin to end a load: what it took is given back before its place is forgotten."""
        place.state = "unloading"
        self._engines.cancel_load(place)

    async def _bring(self, place: Place) -> None:
        """Load it, if anybody still wants it."""
        if self._places.has(place) and (place.state != "loading" or not self._is_wanted(place)):
            self._places.forget(place)
        # The word that it is loaded and the engine's death can arrive together; who is to suffer
        # for a death has been decided when it was told.
        if self._places.has(place):
            outcome = await self._outcome(place)
            if self._places.has(place):
                self._on_loaded(place, outcome)

    async def _outcome(self, place: Place) -> Loaded | CortexError:
        try:
            return await self._engines.load(place, lambda stage: self._on_stage(place, stage))
        except CortexError as error:
            return error

    async def _learn(self, model: ModelInfo) -> None:
        failure: CortexError | None = None
        try:
            await self._engines.learn(model)
        except CortexError as error:
            failure = error
        finally:
            self._learning.discard(model.id)
        self._on_learned(model, failure)
        self._on_moved()
