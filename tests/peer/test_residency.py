"""Who gets the engine when, with loads that the test ends by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cortex.engine.errors import CortexError, ModelInvalid
from cortex.engine.types import Stage
from cortex.peer.residency import Residency, Ticket
from cortex.peer.types import ModelInfo


class HandLoader:
    """Loads that last until the test says so; `log` is what was asked, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.loads: list[asyncio.Future[None]] = []
        self.on_stage: Callable[[Stage], None] = lambda _: None

    async def load(self, model: ModelInfo, on_stage: Callable[[Stage], None]) -> None:
        self.log.append(f"load {model.id}")
        self.on_stage = on_stage
        self.loads.append(asyncio.get_running_loop().create_future())
        await self.loads[-1]

    async def unload(self, model_id: str) -> None:
        self.log.append(f"unload {model_id}")


class Wish:
    """A ticket that remembers what it was told."""

    def __init__(self, model_id: str) -> None:
        self.told: list[str | Stage | CortexError] = []
        model = ModelInfo(model_id, None, ("text",), 1, 0)
        self.ticket = Ticket(
            model, self.told.append, lambda: self.told.append("granted"), self.told.append
        )

    @property
    def is_granted(self) -> bool:
        return "granted" in self.told


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_concurrent_wishes_share_one_load_and_its_progress():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = Residency(loader.load, loader.unload, tasks)
        first, second = Wish("a"), Wish("a")
        residency.ask(first.ticket)
        residency.ask(second.ticket)
        await settle()
        loader.on_stage(Stage("loading", 1, 2, "bytes"))
        loader.loads[0].set_result(None)
        await settle()
        assert loader.log == ["load a"]
        assert first.is_granted and second.is_granted
        assert Stage("loading", 1, 2, "bytes") in second.told


async def test_another_model_waits_until_the_resident_one_is_idle_and_then_replaces_it():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = Residency(loader.load, loader.unload, tasks)
        first, other, late = Wish("a"), Wish("b"), Wish("a")
        residency.ask(first.ticket)
        await settle()
        loader.loads[0].set_result(None)
        await settle()
        residency.ask(other.ticket)
        residency.ask(late.ticket)
        await settle()
        assert other.told == [Stage("queued", 1, 1, "place")]
        assert not late.is_granted, "a latecomer may not starve the one who waits"
        residency.give_back(first.ticket)
        await settle()
        loader.loads[1].set_result(None)
        await settle()
        assert (other.is_granted, residency.resident_id) == (True, "b")
        residency.give_back(other.ticket)
        await settle()
        loader.loads[2].set_result(None)
        await settle()
        assert late.is_granted
        assert loader.log == ["load a", "unload a", "load b", "unload b", "load a"]


async def test_failed_load_fails_all_who_waited_for_it_and_nobody_else():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = Residency(loader.load, loader.unload, tasks)
        wishes = [Wish("a"), Wish("a"), Wish("b")]
        for wish in wishes:
            residency.ask(wish.ticket)
        await settle()
        loader.loads[0].set_exception(ModelInvalid("bad"))
        await settle()
        assert [isinstance(w.told[-1], ModelInvalid) for w in wishes] == [True, True, False]
        loader.loads[1].set_result(None)
        await settle()
        assert wishes[2].is_granted


async def test_wish_given_back_while_queued_is_never_granted():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = Residency(loader.load, loader.unload, tasks)
        wish = Wish("a")
        residency.ask(wish.ticket)
        residency.give_back(wish.ticket)
        await settle()
        loader.loads[0].set_result(None)
        await settle()
        assert not wish.is_granted


@pytest.mark.parametrize("dies_while_loading", [False, True])
async def test_dead_engine_holds_nothing_and_the_model_is_loaded_again(dies_while_loading: bool):
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = Residency(loader.load, loader.unload, tasks)
        first, second = Wish("a"), Wish("a")
        residency.ask(first.ticket)
        await settle()
        if dies_while_loading:
            residency.forget()
        loader.loads[0].set_result(None)
        await settle()
        if not dies_while_loading:
            residency.forget()
            residency.ask(second.ticket)
            await settle()
        loader.loads[1].set_result(None)
        await settle()
        assert loader.log == ["load a", "load a"]
        assert residency.resident_id == "a"
