"""Loads that nobody waits for any more: given up, finished all the same, or begun anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from cortex.engine.errors import LoadCancelled, ModelInvalid
from cortex.engine.stream import Stage
from cortex.peer.devices.abandoning import is_worth_its_end
from cortex.peer.devices.residency import Residency
from tests.peer.by_hand import (
    CONFIG,
    DEATH,
    HandLoader,
    Timer,
    Wish,
    by_hand,
    load,
    resident_id,
    settle,
    states,
)


@asynccontextmanager
async def loading(*wishes: Wish) -> AsyncGenerator[tuple[Residency, HandLoader, Timer]]:
    """Somewhere that these are waited for, the first one's load under way."""
    clock = Timer()
    async with by_hand(clock=clock) as (residency, loader):
        for wish in wishes:
            residency.ask(wish.ticket)
        await settle()
        yield residency, loader, clock


async def end_cancelled(loader: HandLoader) -> None:
    loader.loads[-1].set_exception(LoadCancelled("cancelled"))
    await settle()


async def test_a_load_is_given_up_when_the_last_who_waited_has_left():
    first, second = Wish("a"), Wish("a")
    async with loading(first, second) as (residency, loader, _):
        residency.give_back(first.ticket)
        assert loader.log == ["load a"], "one still waits"
        residency.give_back(second.ticket)
        residency.give_back(second.ticket)
        assert loader.log == ["load a", "cancel a"]
        assert states(residency) == {"a": "unloading"}, "its bytes are not free yet"
        await end_cancelled(loader)
        assert not list(residency.places)


async def test_who_comes_back_while_a_load_is_given_up_has_it_loaded_afresh():
    gone, back = Wish("a"), Wish("a")
    async with loading(gone) as (residency, loader, _):
        residency.give_back(gone.ticket)
        residency.ask(back.ticket)
        assert back.told == [Stage("queued", 1, 1, "place")]
        await end_cancelled(loader)
        assert loader.log == ["load a", "cancel a", "load a"]
        await load(loader)
        assert back.is_granted


async def test_a_load_that_ended_before_it_could_be_given_up_serves_who_came_back():
    gone, back = Wish("a"), Wish("a")
    async with loading(gone) as (residency, loader, _):
        residency.give_back(gone.ticket)
        residency.ask(back.ticket)
        await load(loader)
        assert back.is_granted and loader.log == ["load a", "cancel a"]


async def test_a_load_given_up_makes_room_for_who_waits_for_another_model():
    gone, other = Wish("a"), Wish("b")
    async with loading(gone, other) as (residency, loader, _):
        residency.give_back(gone.ticket)
        await end_cancelled(loader)
        await load(loader)
        assert other.is_granted and loader.log == ["load a", "cancel a", "load b"]


async def test_a_load_given_up_is_no_failure_that_others_are_told_of():
    gone, back = Wish("a"), Wish("a")
    async with loading(gone) as (residency, loader, _):
        residency.give_back(gone.ticket)
        await end_cancelled(loader)
        residency.ask(back.ticket)
        await settle()
        await load(loader)
        assert back.is_granted


async def test_a_load_that_fails_while_it_is_given_up_is_one():
    gone, back = Wish("a"), Wish("a")
    async with loading(gone) as (residency, loader, _):
        residency.give_back(gone.ticket)
        loader.loads[-1].set_exception(ModelInvalid("bad"))
        await settle()
        residency.ask(back.ticket)
        assert isinstance(back.told[-1], ModelInvalid)


async def test_an_engine_that_dies_of_a_load_given_up_harms_nobody_who_came_back():
    gone, back = Wish("a"), Wish("a")
    async with loading(gone) as (residency, loader, _):
        residency.give_back(gone.ticket)
        residency.ask(back.ticket)
        loader.loads[-1].set_exception(DEATH.error)
        residency.lose(0, DEATH)
        await settle()
        await load(loader)
        assert back.is_granted and back.num_grants == 1


async def test_a_load_that_is_nearly_done_is_finished_for_nobody():
    gone = Wish("a")
    async with loading(gone) as (residency, loader, _):
        loader.on_stage(Stage("loading", 80, 100, "bytes"))
        residency.give_back(gone.ticket)
        await load(loader)
        assert loader.log == ["load a"] and resident_id(residency) == "a"


async def test_a_load_that_clients_were_told_to_come_back_for_is_finished():
    gone = Wish("a")
    async with loading(gone) as (residency, loader, clock):
        clock.now_s += CONFIG.cold_wait_s
        residency.give_back(gone.ticket)
        await load(loader)
        assert loader.log == ["load a"] and resident_id(residency) == "a"


async def test_an_order_that_is_cancelled_ends_its_load_however_far_it_is():
    async with loading() as (residency, loader, _):
        order = asyncio.create_task(residency.summon(Wish("a").ticket.model, lambda _: None))
        await settle()
        loader.on_stage(Stage("loading", 99, 100, "bytes"))
        order.cancel()
        await settle()
        assert loader.log == ["load a", "cancel a"]
        await load(loader)  # too late
        assert loader.log == ["load a", "cancel a", "unload a"] and not list(residency.places)


async def test_an_order_that_is_cancelled_leaves_a_load_that_others_wait_for():
    waits = Wish("a")
    async with loading(waits) as (residency, loader, _):
        order = asyncio.create_task(residency.summon(waits.ticket.model, lambda _: None))
        await settle()
        order.cancel()
        await settle()
        await load(loader)
        assert waits.is_granted and loader.log == ["load a"]


@pytest.mark.parametrize("is_forced", [False, True])
async def test_a_model_unloaded_while_it_loads_is_given_up_unless_somebody_waits(is_forced: bool):
    waits = Wish("a")
    async with loading(waits) as (residency, loader, _):
        place = residency.places.of("a")
        assert place is not None
        order = asyncio.create_task(residency.unload("a", is_forced=is_forced))
        await settle()
        if is_forced:
            await end_cancelled(loader)
            assert place.gone.is_set() and await order
            assert loader.log == ["load a", "cancel a", "load a"], "somebody waits all the same"
            await load(loader)
            assert waits.is_granted
        else:
            assert loader.log == ["load a"]
        residency.give_back(waits.ticket)
        if not is_forced:
            assert loader.log == ["load a", "cancel a"]
            await end_cancelled(loader)
            assert place.gone.is_set() and await order


async def test_what_comes_back_with_its_engine_is_not_given_up():
    gone = Wish("a")
    async with loading(gone) as (residency, loader, _):
        await load(loader)
        residency.give_back(gone.ticket)
        loader.are_worn = True
        residency._mover.num_cycles[0] = 1  # pyright: ignore[reportPrivateUsage]
        residency.look()
        loader.renewal.set_result(None)
        await settle()
        residency.look()
        assert loader.log == ["load a", "renew", "load a"]
        await load(loader)
        assert resident_id(residency) == "a"


def test_how_far_a_load_must_be_to_be_worth_its_end():
    assert not is_worth_its_end(None, 0.0, 120.0)
    assert not is_worth_its_end(Stage("loading", 79, 100, "bytes"), 59.0, 120.0)
    assert is_worth_its_end(Stage("loading", 80, 100, "bytes"), 0.0, 120.0)
    assert is_worth_its_end(Stage("loading"), 60.0, 120.0)
    assert not is_worth_its_end(Stage("defragmenting", 9, 10, "models"), 0.0, 120.0)
