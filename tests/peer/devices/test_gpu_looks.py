"""When the driver's tool is asked, and for what, and who waits for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cortex.peer.devices import gpu_looks
from cortex.peer.devices.device import Devices
from cortex.peer.devices.gpu_looks import GpuLooks, is_due
from cortex.peer.devices.gpus import Gpu
from tests.peer.by_hand import Timer, Wish, by_hand, ready, settle
from tests.peer.in_memory import until

GIB = 1 << 30
DEADLINE_S = 30


@pytest.mark.parametrize(
    ("age_s", "is_well", "is_in_use", "due"),
    [
        (2.0, True, True, True),
        (2.0, True, False, False),
        (29.9, True, False, False),
        (30.0, True, False, True),
        (29.9, False, True, False),
        (30.0, False, False, True),
    ],
)
def test_the_tool_is_asked_often_while_somebody_needs_it_and_seldom_else(
    age_s: float, is_well: bool, is_in_use: bool, due: bool
):
    assert is_due(age_s, is_well=is_well, is_in_use=is_in_use) == due


class Driver:
    """Devices of one engine, and what the tool says of the GPU that it has; `log` is what the tool
    was asked, and `told` what the devices were shown.
    """

    def __init__(self) -> None:
        self.timer = Timer()
        self.pid: int | None = 41
        self.free_bytes = 8 * GIB
        self.held: Mapping[int, int] | None = {41: GIB}
        self.is_ill = self.is_in_use = self.is_asleep = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.log: list[str] = []
        self.told: list[Mapping[int, int]] = []
        self.num_changes = 0
        slot = SimpleNamespace(slot=self)
        devices: Any = SimpleNamespace(engines=[slot], look_at_gpus=self.look_at_gpus)
        self.looks = GpuLooks(
            cast(Devices, devices),
            lambda: [0],
            lambda: self.is_in_use,
            self.change,
            self.timer,
            lambda: self.is_asleep,
        )

    def change(self) -> None:
        self.num_changes += 1

    def look_at_gpus(
        self, gpus: Sequence[Gpu], held: Mapping[int, int], reserved_bytes: Sequence[int]
    ) -> bool:
        self.told.append(held)
        return False

    async def ask_for_gpus(self) -> tuple[Gpu, ...] | None:
        self.log.append("gpus")
        await self.may_answer.wait()
        return None if self.is_ill else (Gpu(0, "RTX", 24 * GIB, self.free_bytes, "580"),)

    async def ask_for_holders(self) -> Mapping[int, int] | None:
        self.log.append("holders")
        return self.held

    async def asked(self) -> list[str]:
        """What the tool is asked in one look, for which it is time."""
        self.log.clear()
        self.timer.now_s += 100.0
        num_told = len(self.told)
        await until(lambda: len(self.told) > num_told)
        return [*self.log]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    for name in ("ask_for_gpus", "ask_for_holders"):
        monkeypatch.setattr(gpu_looks, name, getattr(driver, name))
    monkeypatch.setattr(gpu_looks, "_GPU_LOOK_S", 0)
    return driver


@asynccontextmanager
async def looking(driver: Driver) -> AsyncGenerator[None]:
    task = asyncio.create_task(driver.looks.run())
    async with asyncio.timeout(DEADLINE_S):
        yield
    task.cancel()


async def test_who_has_the_memory_is_asked_only_where_another_amount_is_free(driver: Driver):
    async with looking(driver):
        assert await driver.asked() == ["gpus", "holders"]
        assert await driver.asked() == ["gpus"]
        assert driver.told[-1] == {41: GIB}, "nobody has taken anything: what was told holds"
        driver.free_bytes -= GIB
        assert await driver.asked() == ["gpus", "holders"]
        driver.pid, driver.held = 42, None
        assert await driver.asked() == ["gpus", "holders"]
        assert driver.told[-1] == {}
        assert await driver.asked() == ["gpus", "holders"], "it had not answered"
        driver.pid = None
        assert await driver.asked() == ["gpus"], "none of them could be ours"


async def test_while_gpus_are_used_or_shown_they_are_looked_at_without_a_rest(driver: Driver):
    async with looking(driver):
        await driver.asked()
        num_told = len(driver.told)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(driver.told) == num_told, "nobody needs it"
        with driver.looks.watched():
            await until(lambda: len(driver.told) > num_told + 2)
        driver.is_in_use = True
        num_told = len(driver.told)
        await until(lambda: len(driver.told) > num_told + 2)


async def test_what_is_too_old_to_decide_by_is_seen_anew_at_once_and_told(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gpu_looks, "_GPU_LOOK_S", 600)
    assert not driver.looks.must_look(), "the peer has just asked"
    driver.timer.now_s += 5.1
    async with looking(driver):
        assert driver.looks.must_look() and driver.looks.must_look()
        await until(lambda: driver.num_changes == 1)
        assert (len(driver.told), driver.looks.must_look()) == (1, False)
        driver.timer.now_s += 5.1
        await driver.looks.freshen()
        assert len(driver.told) == 2
        driver.is_ill = True
        driver.timer.now_s += 5.1
        await driver.looks.freshen()
        driver.timer.now_s += 5.1
        assert not driver.looks.must_look(), "who waited for a tool that is ill would wait for ever"


async def test_who_asks_while_the_tool_is_asked_anyway_is_told_as_well(driver: Driver):
    driver.may_answer.clear()
    driver.timer.now_s += 30.0
    async with looking(driver):
        await until(lambda: driver.log == ["gpus"])
        assert driver.looks.must_look()
        assert driver.num_changes == 0
        driver.may_answer.set()
        await until(lambda: driver.num_changes == 1)
        assert (len(driver.told), driver.looks.must_look()) == (1, False)


async def test_gpus_that_sleep_are_asked_once_and_then_only_when_somebody_needs_them(
    driver: Driver,
):
    async with looking(driver):
        await driver.asked()
        driver.is_asleep = True
        assert await driver.asked() == ["gpus"], "somebody may have used them until now"
        for _ in range(2):
            num_told = len(driver.told)
            driver.timer.now_s += 3600.0
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(driver.told) == num_told, "it would wake them"
            assert driver.looks.must_look()
            await until(lambda: not driver.looks.must_look())
        driver.is_asleep = False
        assert await driver.asked() == ["gpus"], "somebody uses them"
        driver.is_asleep = True
        assert await driver.asked() == ["gpus"], "and does no longer"
        driver.is_in_use = True
        assert "gpus" in await driver.asked()


async def test_who_only_shows_the_numbers_does_not_wait_for_a_slow_tool(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gpu_looks, "_SHOWN_S", 0.0)
    driver.timer.now_s += 5.1
    async with asyncio.timeout(DEADLINE_S):
        await driver.looks.freshen()  # nobody runs: the answer never comes


async def test_no_load_is_decided_by_old_numbers_asked_for_or_at_home():
    is_old = True
    async with by_hand(must_look=lambda: is_old) as (residency, loader):
        wish = Wish("a")
        residency.ask(wish.ticket)
        await settle()
        assert (loader.log, wish.told[-1] != "granted") == ([], True)
        is_old = False
        residency.look()
        await settle()
        assert loader.log == ["load a"]
        loader.loads[0].set_result(None)
    is_old, home = True, [Wish("a").ticket.model]
    async with by_hand(must_look=lambda: is_old, at_home=lambda: home) as (residency, loader):
        residency.look()
        await settle()
        assert loader.log == []
        is_old = False
        residency.look()
        await settle()
        assert loader.log == ["load a"]
        loader.loads[0].set_result(None)


async def test_a_home_model_that_cannot_come_home_has_no_numbers_asked_for():
    asked, home = list[bool](), [Wish("big").ticket.model]

    def must_look() -> bool:
        asked.append(True)
        return True

    async with by_hand(100, big=200, must_look=must_look, at_home=lambda: home) as (
        residency,
        loader,
    ):
        for _ in range(3):
            residency.look()
        assert (asked, loader.log) == ([], [])
        loader.sizes["big"] = 100
        residency.look()
        await settle()
        assert (asked, loader.log) == ([True], []), "it would begin"


async def test_who_has_waited_for_long_keeps_its_claim_while_the_numbers_are_old():
    timer, is_old = Timer(), False
    async with by_hand(clock=timer, must_look=lambda: is_old) as (residency, loader):
        (busy,) = await ready(residency, loader, "a")
        residency.ask(Wish("b").ticket)
        timer.now_s += 30.0
        residency.look()
        is_old = True
        residency.look()
        late = Wish("a")
        residency.ask(late.ticket)
        assert not late.is_granted
        is_old = False
        residency.give_back(busy.ticket)
        await settle()
        assert loader.log == ["load a", "unload a", "load b"]
        loader.loads[-1].set_result(None)
