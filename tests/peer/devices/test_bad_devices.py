"""A device that ends its engine whatever is loaded there: others are chosen before it."""

from __future__ import annotations

from cortex.peer.devices.losses import AVOIDED_S
from cortex.peer.devices.residency import Residency
from tests.peer.by_hand import DEATH, HandLoader, Timer, Wish, by_hand, load, settle


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
