"""A model whose place is too small for a request: loaded again, larger, where that is possible."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cortex.peer.devices.residency import Residency
from cortex.peer.placement.context_room import ContextRoom, context_room
from tests.peer.by_hand import HandLoader, Timer, Wish, by_hand, load, ready, settle


@asynccontextmanager
async def small_beside_a(timer: Timer) -> AsyncGenerator[tuple[Residency, HandLoader, Wish]]:
    """Of 100 bytes "a" has 60, and "b" the rest, with a context of 8 where 20 or 50 would be its
    own: its wish is still granted.
    """
    async with by_hand(100, a=60, b=30, clock=timer) as (residency, loader):
        loader.lengths["b"] = (50, 20)
        (first,) = await ready(residency, loader, "a")
        residency.give_back(first.ticket)
        timer.now_s += 1.0  # too soon for "a" to go
        (second,) = await ready(residency, loader, "b")
        assert context_of(residency) == 8
        yield residency, loader, second


def context_of(residency: Residency) -> int:
    place = residency.places.of("b")
    assert place is not None
    return place.size.context_tokens


async def test_a_prompt_that_has_no_room_waits_for_a_larger_place():
    timer = Timer()
    async with small_beside_a(timer) as (residency, loader, answering):
        timer.now_s += 60.0
        long = Wish("b", room=ContextRoom(15, 15))
        residency.ask(long.ticket)
        await settle()
        assert not long.is_granted and loader.log == ["load a", "load b"], "it is not idle yet"
        residency.give_back(answering.ticket)
        await settle()
        await load(loader)
        assert long.is_granted and context_of(residency) == 50
        assert loader.log == ["load a", "load b", "unload b", "unload a", "load b"]


async def test_an_answer_that_may_be_cut_off_waits_for_nobody_and_moves_an_idle_model_alone():
    timer = Timer()
    async with small_beside_a(timer) as (residency, loader, answering):
        timer.now_s += 400.0
        beside = Wish("b", room=ContextRoom(5, 15))
        residency.ask(beside.ticket)
        assert beside.is_granted, "its prompt has room"
        residency.give_back(beside.ticket)
        residency.give_back(answering.ticket)
        after = Wish("b", room=ContextRoom(5, 15))
        residency.ask(after.ticket)
        await settle()
        await load(loader)
        assert after.is_granted and context_of(residency) == 50


async def test_nothing_is_loaded_again_where_it_would_be_no_larger():
    timer = Timer()
    async with small_beside_a(timer) as (residency, loader, answering):
        residency.pin("a", is_pinned=True)
        residency.give_back(answering.ticket)
        timer.now_s += 3400.0
        for wanted in (ContextRoom(5, 60), ContextRoom(60, 60)):
            wish = Wish("b", room=wanted)
            residency.ask(wish.ticket)
            assert wish.is_granted
            residency.give_back(wish.ticket)
        assert loader.log == ["load a", "load b"]


async def test_nothing_is_loaded_again_where_the_next_load_would_be_as_small():
    """Each device would do for one of the two lengths, and the cheaper one is the small one."""
    timer = Timer()
    async with by_hand(100, 100, a=60, c=70, b=30, clock=timer) as (residency, loader):
        loader.lengths["b"] = (50, 20)
        _, idle = await ready(residency, loader, "a", "c")
        residency.give_back(idle.ticket)
        timer.now_s += 60.0
        wish = Wish("b", room=ContextRoom(15, 60))
        residency.ask(wish.ticket)
        for _ in range(4):
            await settle()
            if not wish.is_granted:
                await load(loader)
            timer.now_s += 60.0
        assert wish.is_granted, loader.log


async def test_what_somebody_has_loaded_by_its_extent_is_not_loaded_again():
    timer = Timer()
    async with by_hand(100, a=60, b=30, clock=timer) as (residency, loader):
        asked = Wish("b", context_tokens=9)
        residency.ask(asked.ticket)
        await settle()
        await load(loader)
        residency.give_back(asked.ticket)
        loader.lengths["b"] = (50, 20)
        assert context_of(residency) == 9
        wish = Wish("b", room=ContextRoom(15, 15))
        residency.ask(wish.ticket)
        assert wish.is_granted and loader.log == ["load b"]


async def test_a_model_stays_as_it_is_once_nobody_waits_for_a_larger_place():
    timer = Timer()
    async with small_beside_a(timer) as (residency, loader, answering):
        timer.now_s += 60.0
        long = Wish("b", room=ContextRoom(15, 15))
        residency.ask(long.ticket)
        residency.give_back(long.ticket)
        after = Wish("b")
        residency.ask(after.ticket)
        residency.give_back(answering.ticket)
        assert after.is_granted and loader.log == ["load a", "load b"]


async def test_an_answer_that_may_be_cut_off_is_not_worth_a_long_load():
    timer = Timer()
    async with small_beside_a(timer) as (residency, loader, answering):
        timer.now_s += 400.0
        residency.give_back(answering.ticket)
        loader.whole_s = 600.0
        wish = Wish("b", room=ContextRoom(5, 15))
        residency.ask(wish.ticket)
        assert wish.is_granted and loader.log == ["load a", "load b"]


def test_a_request_takes_its_prompt_and_as_much_answer_as_is_likely():
    assert context_room(3000, 8000, most_tokens=100_000) == ContextRoom(3001, 11_000)
    assert context_room(3000, None, most_tokens=100_000) == ContextRoom(3001, 4024)
    assert context_room(3000, 64_000, most_tokens=100_000) == ContextRoom(3001, 3000 + 16_384)
    assert context_room(3000, 64_000, 20_000, most_tokens=100_000) == ContextRoom(23_001, 23_001)
    assert context_room(3000, None, most_tokens=10) == ContextRoom(3001, 3010)
    assert context_room(3000, None, most_tokens=0) == ContextRoom(3000, 3000)
