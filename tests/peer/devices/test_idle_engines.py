"""When an engine that nobody needs is ended, and what is known of its device while it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import msgspec
import pytest

from cortex.engine.fake import FakeService
from cortex.engine.messages import Alive
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.config import EvictionConfig, PeerConfig
from cortex.peer.devices import rack
from cortex.peer.devices.device_memory import foreign_shared_bytes
from cortex.peer.devices.idle_engines import IdleEngines
from cortex.peer.devices.residency import Residency
from cortex.peer.lasting_clock import lasting_s
from cortex.peer.node import Node
from tests.peer.by_hand import CONFIG, HandLoader, Timer, Wish, by_hand, load, ready, settle
from tests.peer.in_memory import MemoryChildren, until

GIB = 1 << 30
DEADLINE_S = 30
MakeConfig = Callable[..., PeerConfig]


def test_an_engine_is_due_when_its_device_has_been_empty_for_so_long_without_a_break():
    idle = IdleEngines()
    assert idle.due([0, 1], 100.0, 60.0) == []
    assert idle.due([0], 130.0, 60.0) == []
    assert idle.due([0, 1], 160.0, 60.0) == [0]
    assert idle.due([0, 1], 1e9, None) == [], "nothing goes where nothing is ever idle for too long"
    assert idle.due([0, 1], 1e9, 60.0) == [0, 1]


@asynccontextmanager
async def idle_device() -> AsyncGenerator[tuple[Residency, HandLoader, Timer]]:
    """A device whose engine is up and whose models go after a minute."""
    timer = Timer()
    config = replace(CONFIG, eviction=EvictionConfig(idle_ttl_s=60.0))
    async with by_hand(config=config, clock=timer) as (residency, loader):
        loader.uses[0] = "idle"
        yield residency, loader, timer


async def test_an_engine_ends_when_the_last_model_has_been_gone_for_as_long_as_one_may_be_idle():
    async with idle_device() as (residency, loader, timer):
        (wish,) = await ready(residency, loader, "a")
        residency.give_back(wish.ticket)
        for now_s, log in ((160.0, ["load a", "unload a"]), (219.0, []), (220.0, ["rest 0"])):
            timer.now_s = now_s
            residency.look()
            await settle()
            residency.look()
            await settle()
            assert loader.log == log, now_s
            loader.log.clear()
        loader.end.set_result(None)


async def test_who_asks_while_an_engine_is_ended_is_loaded_by_the_next_one():
    async with idle_device() as (residency, loader, timer):
        residency.look()
        timer.now_s += 60.0
        residency.look()
        wish = Wish("a")
        residency.ask(wish.ticket)
        await settle()
        assert loader.log == ["rest 0"]
        loader.end.set_result(None)
        await settle()
        await load(loader)
        assert (loader.log, wish.is_granted) == (["rest 0", "load a"], True)


async def test_an_engine_stays_while_somebody_waits_and_while_it_does_anything():
    async with idle_device() as (residency, loader, timer):
        loader.strange.add("a")
        wish = Wish("a")
        residency.ask(wish.ticket)
        timer.now_s += 600.0
        residency.look()
        residency.give_back(wish.ticket)
        loader.uses[0] = "busy"
        timer.now_s += 600.0
        residency.look()
        await settle()
        assert loader.log == ["learn a"]
        loader.uses[0] = "idle"
        residency.look()
        await settle()
        assert loader.log == ["learn a", "rest 0"], "an estimate is not a model's use"
        for pending in (loader.lesson, loader.end):
            pending.set_result(None)


async def test_a_model_is_idle_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch):
    async with by_hand(config=CONFIG) as (residency, loader):
        (wish,) = await ready(residency, loader, "a")
        residency.give_back(wish.ticket)
        now_s = lasting_s()

        def later_s(clock: int) -> float:
            return now_s + 1e6

        monkeypatch.setattr(time, "clock_gettime", later_s)
        residency.look()
        await settle()
        assert loader.log == ["load a", "unload a"]


def ask() -> ChatRequest:
    message = Message("user", (TextPart("hello"),))
    return ChatRequest("fake", (message,), seed=1, now_s=0, max_tokens=4)


async def answer(node: Node) -> None:
    async with aclosing(node.chat(ask())) as events:
        async for _ in events:
            pass


async def test_an_idle_peer_has_no_engine_and_the_next_request_starts_one(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rack, "_LOOK_S", 0.01)
    config = make_config(eviction=EvictionConfig(idle_ttl_s=0.2))
    children = MemoryChildren()
    async with asyncio.timeout(DEADLINE_S), Node(config, children.spawn) as node:
        for num_engines in (1, 2):
            await answer(node)
            assert len(children.engines) == num_engines
            await until(lambda: node.health.engines[0].state == "stopped")
            (engine,) = node.health.engines
            assert (engine.num_restarts, engine.last_end, engine.is_failing) == (0, None, False)
            assert not [one for one in node.chronicle.latest(20) if one.what == "engine_lost"]
        await node.shelf.weigh()
        await node.survey()
        assert len(children.engines) == 2, "nobody starts one merely to look"


async def test_a_request_starts_no_engine_beside_the_one_that_has_its_model(
    make_config: MakeConfig,
):
    children = MemoryChildren()
    config = make_config(devices=("fake:0", "fake:1"))
    async with asyncio.timeout(DEADLINE_S), Node(config, children.spawn) as node:
        await answer(node)
        await until(lambda: all(each.state == "up" for each in node.health.engines))
        (place,) = node.placement.placed
        other = node._rack.devices.engines[1 - place.device]  # pyright: ignore[reportPrivateUsage]
        assert await other.rest()
        await answer(node)
        assert (other.slot.state, len(children.engines)) == ("stopped", 2)


def tells_memory(monkeypatch: pytest.MonkeyPatch, told: Alive) -> None:
    def alive(_: FakeService) -> Alive:
        return told

    monkeypatch.setattr(FakeService, "alive", alive)


async def test_a_gpu_keeps_its_budget_while_its_engine_is_away(
    make_config: MakeConfig,
    driver_tool: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
):
    told = Alive(0, 0, 0, device_bytes=20 * GIB, free_at_start_bytes=10 * GIB)
    for remembered_bytes in (0, GIB):
        tells_memory(monkeypatch, msgspec.structs.replace(told, remembered_bytes=remembered_bytes))
        driver_tool("echo '0, NVIDIA GB10, [N/A], [N/A], 580.95, GPU-5'")
        config = make_config(devices=("cuda:0",))
        async with Node(config, MemoryChildren().spawn) as node:
            devices = node._rack.devices  # pyright: ignore[reportPrivateUsage]
            budget_bytes = devices.devices[0].budget_bytes
            assert await devices.rest(0)
            assert (devices.use(0), devices.look_at_engines()) == ("away", False)
            assert devices.devices[0].budget_bytes == budget_bytes > 0
            assert devices.share_memory == bool(remembered_bytes)
            assert devices.look_at_memory(GIB, (0,)) == bool(remembered_bytes), "others' are seen"


def test_what_an_engine_takes_that_is_away_is_to_come_in_shared_memory():
    alive = Alive(0, 0, 0, remembered_bytes=15 * GIB)
    there = foreign_shared_bytes(75 * GIB, 0, 1, 90 * GIB, alive)
    away = foreign_shared_bytes(75 * GIB, 0, 0, 91 * GIB, alive)
    assert there == away > 0
