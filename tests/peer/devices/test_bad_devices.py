"""A device that ends its engine whatever is loaded there: others are chosen before it."""

from __future__ import annotations

from cortex.peer.devices.losses import AVOIDED_S
from cortex.peer.devices.residency import Residency
from tests.peer.by_hand import (
    DEATH,
    LAST_DEATH,
    HandLoader,
    Timer,
    Wish,
    by_hand,
    load,
    settle,
)


async def die(residency: Residency, loader: HandLoader) -> None:
    """Of the load that was begun last, on the first device."""
    residency.lose(0, DEATH)
    loader.loads[-1].set_exception(DEATH.error)
    await settle()


async def ask(residency: Residency, model_id: str) -> Wish:
    wish = Wish(model_id)
    residency.ask(wish.ticket)
    await settle()
    return wish


async def test_a_device_of_which_two_loads_in_a_row_ended_the_engine_is_avoided_for_a_while():
    timer = Timer()
    async with by_hand(100, 100, a=100, clock=timer) as (residency, loader):
        wish = await ask(residency, "a")
        await die(residency, loader)
        assert not residency.is_avoided(0)
        await die(residency, loader)
        assert loader.log == ["load a on 0", "load a on 0", "load a on 1"]
        assert residency.is_avoided(0)
        await load(loader)
        assert wish.is_granted
        timer.now_s += AVOIDED_S
        assert not residency.is_avoided(0)


async def test_a_load_that_ends_well_makes_a_device_sound_again():
    async with by_hand(100, 100, a=100, clock=Timer()) as (residency, loader):
        await ask(residency, "a")
        await die(residency, loader)
        await load(loader)
        residency.lose(0, DEATH)
        await settle()
        assert loader.log == ["load a on 0"] * 3
        await die(residency, loader)
        assert not residency.is_avoided(0)
        await load(loader)


async def test_an_avoided_device_is_taken_where_no_other_will_do():
    async with by_hand(100, 50, a=100, clock=Timer()) as (residency, loader):
        await ask(residency, "a")
        await die(residency, loader)
        await die(residency, loader)
        assert residency.is_avoided(0)
        assert loader.log == ["load a on 0"] * 3
        await load(loader)
        assert not residency.is_avoided(0)


async def test_a_load_on_a_device_whose_engine_never_starts_goes_to_another():
    async with by_hand(100, 100, a=100, max_replays=0, clock=Timer()) as (residency, loader):
        wish = await ask(residency, "a")
        residency.lose(0, LAST_DEATH)
        await settle()
        residency.lose(0, LAST_DEATH)
        await settle()
        assert loader.log == ["load a on 0", "load a on 0", "load a on 1"]
        loader.loads[0].set_exception(LAST_DEATH.error)
        loader.loads[1].set_exception(LAST_DEATH.error)
        await load(loader)
        assert wish.is_granted


async def test_a_start_that_fails_without_a_load_counts_against_its_device():
    async with by_hand(100, 100, a=100, clock=Timer()) as (residency, loader):
        residency.lose(0, LAST_DEATH)
        residency.lose(0, LAST_DEATH)
        await ask(residency, "a")
        assert loader.log == ["load a on 1"]
        await load(loader)


async def test_a_load_fails_where_the_engine_does_not_start_and_no_other_device_has_room():
    async with by_hand(100, 50, a=100, clock=Timer()) as (residency, loader):
        wish = await ask(residency, "a")
        for _ in range(3):
            residency.lose(0, LAST_DEATH)
            loader.loads[-1].set_exception(LAST_DEATH.error)
            await settle()
        assert loader.log == ["load a on 0"] * 3
        assert wish.told[-1] is LAST_DEATH.error
