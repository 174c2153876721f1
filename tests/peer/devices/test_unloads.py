"""Models that go: for another one while their engine ends, which is not told of them once more; and
by force, amid an answer; and those that are told to go, and are still wanted.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from cortex.engine.errors import EngineFailed
from cortex.engine.fake import FakeConfig
from cortex.engine.stream import Piece
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.config import EvictionConfig
from cortex.peer.devices.places import Extent, Place
from cortex.peer.errors import JobCancelled
from cortex.peer.gossip.ids import ModelId
from cortex.peer.node import Node
from cortex.peer.placement.plan import LoadWish
from tests.peer.by_hand import CONFIG, DEATH, Wish, by_hand, load, ready, settle, states


async def test_those_that_went_with_their_engine_are_not_unloaded_from_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(CONFIG, eviction=EvictionConfig(min_residency_s=0.0))
    async with by_hand(100, config=config, a=50, b=50, c=100) as (residency, loader):

        async def unload(place: Place) -> None:
            loader.log.append(f"unload {place.model.id}")
            residency.lose(0, DEATH)
            raise DEATH.error

        for wish in await ready(residency, loader, "a", "b"):
            residency.give_back(wish.ticket)
        monkeypatch.setattr(loader, "unload", unload)
        loader.log.clear()
        wish = Wish("c")
        residency.ask(wish.ticket)
        await settle()
        assert loader.log == ["unload a", "load c"]
        await load(loader)
        assert wish.is_granted


async def test_an_unload_that_is_taken_back_leaves_the_model_to_who_comes() -> None:
    async with by_hand() as (residency, loader):
        [busy] = await ready(residency, loader, "a")
        first, second = (asyncio.create_task(residency.unload("a")) for _ in range(2))
        await settle()
        late = Wish("a")
        residency.ask(late.ticket)
        first.cancel()
        await settle()
        assert not late.is_granted, "somebody else still has it unloaded"
        second.cancel()
        await settle()
        assert late.is_granted
        for wish in (busy, late):
            residency.give_back(wish.ticket)
        await settle()
        assert loader.log == ["load a"]


async def test_an_unload_that_has_begun_is_not_taken_back() -> None:
    async with by_hand() as (residency, loader):
        [wish] = await ready(residency, loader, "a")
        residency.give_back(wish.ticket)
        order = asyncio.create_task(residency.unload("a"))
        await asyncio.sleep(0)
        assert states(residency) == {"a": "unloading"}
        order.cancel()
        await settle()
        assert not list(residency.places)


async def test_a_load_that_is_ordered_after_an_unload_has_the_model_stay() -> None:
    async with by_hand() as (residency, loader):
        await ready(residency, loader, "a")
        order = asyncio.create_task(residency.unload("a"))
        await settle()
        model = Wish("a").ticket.model
        residency.keep(model, Extent())
        place = await residency.summon(model, lambda _: None)
        assert place.state == "ready" and not await order
        assert loader.log == ["load a"]


async def test_a_load_under_way_that_is_ordered_again_after_an_unload_has_the_model_stay() -> None:
    async with by_hand() as (residency, loader):
        model = Wish("a").ticket.model
        loading = asyncio.create_task(residency.summon(model, lambda _: None))
        await settle()
        order = asyncio.create_task(residency.unload("a"))
        await settle()
        residency.keep(model, Extent())
        assert not await order
        await load(loader)
        assert (await loading).state == "ready" and loader.log == ["load a"]


async def test_more_of_a_model_that_is_told_to_go_is_loaded_when_that_has_gone() -> None:
    async with by_hand() as (residency, loader):
        [busy] = await ready(residency, loader, "a")
        order = asyncio.create_task(residency.unload("a"))
        await settle()
        wider = Wish("a", context_tokens=16).ticket
        residency.keep(wider.model, wider.extent)
        summoned = asyncio.create_task(residency.summon(wider.model, lambda _: None, wider.extent))
        await settle()
        residency.give_back(busy.ticket)
        assert await order
        await load(loader)
        assert (await summoned).size.context_tokens == 16


async def test_those_who_wait_for_a_load_are_served_before_its_model_goes() -> None:
    async with by_hand() as (residency, loader):
        waits, comes, late = Wish("a"), Wish("a"), Wish("a")
        residency.ask(waits.ticket)
        await settle()
        order = asyncio.create_task(residency.unload("a"))
        await settle()
        residency.ask(comes.ticket)
        await load(loader)
        assert waits.is_granted and comes.is_granted
        residency.ask(late.ticket)
        residency.give_back(waits.ticket)
        await settle()
        assert not order.done() and not late.is_granted
        residency.give_back(comes.ticket)
        assert await order
        await settle()
        assert loader.log == ["load a", "unload a", "load a"], "that is for who came later"
        await load(loader)
        assert late.is_granted


async def test_a_load_called_off_too_late_serves_and_stays_for_who_came_meanwhile() -> None:
    async with by_hand() as (residency, loader):
        called_off = asyncio.create_task(residency.summon(Wish("a").ticket.model, lambda _: None))
        await settle()
        called_off.cancel()
        await settle()
        first, second = Wish("a"), Wish("a")
        residency.ask(first.ticket)
        await load(loader)
        residency.ask(second.ticket)
        assert first.is_granted and second.is_granted
        assert loader.log == ["load a", "cancel a"]


async def test_those_who_wait_for_a_load_called_off_too_late_are_served_before_an_unload() -> None:
    async with by_hand() as (residency, loader):
        called_off = asyncio.create_task(residency.summon(Wish("a").ticket.model, lambda _: None))
        await settle()
        called_off.cancel()
        await settle()
        waits = Wish("a")
        residency.ask(waits.ticket)
        order = asyncio.create_task(residency.unload("a"))
        await settle()
        [place] = residency.places
        assert waits.ticket in place.served_first
        await load(loader)
        assert waits.is_granted and not place.served_first
        residency.give_back(waits.ticket)
        assert await order
        assert loader.log == ["load a", "cancel a", "unload a"]


@pytest.mark.parametrize("is_told_before", [False, True])
async def test_a_forced_unload_whose_cancel_comes_too_late_waits_for_nobody(
    is_told_before: bool,
) -> None:
    async with by_hand() as (residency, loader):
        waits = Wish("a")
        residency.ask(waits.ticket)
        await settle()
        orders = [False, True] if is_told_before else [True]
        told: list[asyncio.Task[bool]] = []
        for is_forced in orders:
            told.append(asyncio.create_task(residency.unload("a", is_forced=is_forced)))
            await settle()
        await load(loader)
        assert all(await asyncio.gather(*told)) and not waits.is_granted
        await load(loader)
        assert waits.is_granted
        assert loader.log == ["load a", "cancel a", "unload a", "load a"]


async def test_an_unload_that_a_later_load_undoes_says_so(
    make_config: Any, memory_children: Any
) -> None:
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    message = Message("user", (TextPart("hello"),))
    request = ChatRequest("fake", (message,), seed=1, now_s=0, max_tokens=20_000, ignore_eos=True)
    async with (
        asyncio.timeout(20),
        Node(make_config(), children.spawn) as node,
        aclosing(node.chat(request)) as events,
    ):
        async for event in events:
            if isinstance(event, Piece):
                break
        unloading = asyncio.create_task(node.steering.unload("fake"))
        await settle()
        wish = LoadWish(ModelId(node.stored[0].weights))
        node.steering.keep(wish)
        assert (await node.steering.load(wish, lambda _: None)).is_there
        with pytest.raises(JobCancelled, match="ordered after this unload"):
            await unloading


async def test_an_answer_whose_model_is_unloaded_by_force_ends_with_that_and_frees_the_device(
    make_config: Any, memory_children: Any
) -> None:
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    message = Message("user", (TextPart("hello"),))
    request = ChatRequest("fake", (message,), seed=1, now_s=0, max_tokens=20_000, ignore_eos=True)
    async with asyncio.timeout(20), Node(make_config(), children.spawn) as node:
        async with aclosing(node.chat(request)) as events:
            async for event in events:
                if isinstance(event, Piece):
                    break
            [books] = node.placement.devices
            assert books.residents
            unloading = asyncio.create_task(node.steering.unload("fake", is_forced=True))
            with pytest.raises(EngineFailed, match="model fake was unloaded"):
                async for _ in events:
                    pass
        await unloading
        [books] = node.placement.devices
        assert (books.residents, node.placement.placed) == ((), ())
        assert node.health.live_requests == 0
