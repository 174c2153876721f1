"""A peer's devices whose loads a test ends by hand, wishes that remember, and a clock to turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.messages import Loaded
from cortex.engine.stream import Stage
from cortex.peer.children.engine_side import EngineUse
from cortex.peer.children.slot import ChildEnd
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.devices.places import Extent, Place, Ticket
from cortex.peer.devices.residency import Residency
from cortex.peer.gossip.ids import ModelId
from cortex.peer.placement.books import DeviceBooks, Need, Size
from cortex.peer.placement.context_room import ContextRoom
from cortex.peer.placement.habits import Habits
from cortex.peer.types import ModelInfo


class HandLoader:
    """Devices whose loads last until the test says so; `log` is what was asked, in order.

    A model takes what `sizes` says of it, else all of the first device, and of `lengths` the
    context that takes as many bytes beside it, of which `comforts` is comfortable. Nothing is known
    of the `strange` until it has been learned. Engines are away but for what `uses` says, and one
    that is told to rest has ended at the `end`.
    """

    def __init__(self, *budgets: int, **sizes: int) -> None:
        self.log: list[str] = []
        self.loads: list[asyncio.Future[None]] = []
        self._under_way: set[str] = set()
        self.on_stage: Callable[[Stage], None] = lambda _: None
        self.devices = [
            DeviceBooks(index, f"device {index}", budget)
            for index, budget in enumerate(budgets or (100,))
        ]
        self.sizes = sizes
        self.load_s = 0.0
        self.whole_s = 2.0
        self.are_worn = False
        self.renewal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.uses: dict[int, EngineUse] = {}
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lengths: dict[str, tuple[int, ...]] = {}
        self.comforts: dict[str, int] = {}
        self.strange: set[str] = set()
        self.lesson: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def need_of(self, model: ModelInfo, extent: Extent) -> Need | None:
        if model.id in self.strange:
            return None
        num_bytes = self.sizes.get(model.id, self.devices[0].budget_bytes)
        size = Size(extent.context_tokens or 8, extent.num_slots or 1, num_bytes)
        longer = (
            Size(tokens, size.num_slots, num_bytes + tokens)
            for tokens in self.lengths.get(model.id, ())
        )
        comfort_tokens = self.comforts.get(model.id, 0)
        sizes = (*longer, size)
        return Need(ModelId(model.weights), model.id, sizes, comfort_tokens=comfort_tokens)

    def reload_s(self, model: ModelInfo) -> float | None:
        return self.whole_s

    async def learn(self, model: ModelInfo) -> None:
        self.log.append(f"learn {model.id}")
        await self.lesson
        self.strange.discard(model.id)

    async def load(self, place: Place, on_stage: Callable[[Stage], None]) -> Loaded:
        where = f" on {place.device}" if len(self.devices) > 1 else ""
        self.log.append(f"load {place.model.id}{where}")
        self.on_stage = on_stage
        self.loads.append(asyncio.get_running_loop().create_future())
        self._under_way.add(place.model.id)
        try:
            await self.loads[-1]
        finally:
            self._under_way.discard(place.model.id)
        return Loaded("job", place.model.id, 1, self.load_s)

    def cancel_load(self, place: Place) -> None:
        if place.model.id in self._under_way:
            self.log.append(f"cancel {place.model.id}")

    async def unload(self, place: Place) -> None:
        self.log.append(f"unload {place.model.id}")

    def is_worn(self, device: int, reserved_bytes: int) -> bool:
        return self.are_worn

    async def renew(self, device: int) -> None:
        self.log.append("renew")
        self.are_worn = False
        await self.renewal

    def use(self, device: int) -> EngineUse:
        return self.uses.get(device, "away")

    async def rest(self, device: int) -> bool:
        self.log.append(f"rest {device}")
        await self.end
        self.uses[device] = "away"
        return True


@asynccontextmanager
async def by_hand(
    *budgets: int, max_replays: int = 2, config: PeerConfig | None = None, **given: Any
) -> AsyncGenerator[tuple[Residency, HandLoader]]:
    """A book of such devices; numbers by name are sizes of models, all else is the book's."""
    sizes = {name: given.pop(name) for name in [*given] if isinstance(given[name], int)}
    loader = HandLoader(*budgets, **sizes)
    async with asyncio.TaskGroup() as tasks:
        yield Residency(loader, Habits(config or CONFIG), tasks, max_replays, **given), loader


def resident_id(residency: Residency) -> str | None:
    """The model that is ready, of which there is one at most."""
    ready = [place.model.id for place in residency.places if place.state == "ready"]
    return ready[0] if ready else None


class Wish:
    """A ticket that remembers what it was told."""

    def __init__(
        self,
        model_id: str,
        weights: bytes = b"",
        room: ContextRoom | None = None,
        *,
        is_rest: bool = False,
        **extent: int,
    ) -> None:
        self.told: list[str | Stage | CortexError] = []
        model = ModelInfo(model_id, None, ("text",), 1, 0, weights)
        self.ticket = Ticket(
            model,
            self.told.append,
            lambda _: self.told.append("granted"),
            self.told.append,
            Extent(**extent),
            room=room or ContextRoom(),
            is_rest=is_rest,
        )

    @property
    def is_granted(self) -> bool:
        return "granted" in self.told

    @property
    def num_grants(self) -> int:
        return self.told.count("granted")


CONFIG = PeerConfig(Locations(Path("data"), Path("state")))
DEATH = ChildEnd(EngineFailed("the engine process ended"), may_return=True)
LAST_DEATH = ChildEnd(EngineFailed("the engine process was stopped"), may_return=False)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def load(loader: HandLoader) -> None:
    loader.loads[-1].set_result(None)
    await settle()


class Timer:
    """A clock that the test turns, and when it is to be looked at next."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.wake_s: float | None = None

    def __call__(self) -> float:
        return self.now_s

    def wake_after(self, seconds: float | None) -> None:
        self.wake_s = None if seconds is None else self.now_s + seconds


async def ready(residency: Residency, loader: HandLoader, *model_ids: str) -> list[Wish]:
    """Wishes that have been granted these models, one loaded after the other."""
    wishes = [Wish(model_id) for model_id in model_ids]
    for wish in wishes:
        residency.ask(wish.ticket)
        await settle()
        if not wish.is_granted:
            await load(loader)
    return wishes


def told_to_leave(log: list[str]) -> Callable[[Place, str, str], None]:
    return lambda place, reason, wanted: log.append(f"{place.model.id} {reason} {wanted}".strip())


def states(residency: Residency) -> dict[str, str]:
    return {place.model.id: place.state for place in residency.places}
