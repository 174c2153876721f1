"""Models that go: for another one while their engine ends, which is not told of them once more; and
by force, amid an answer.
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
from cortex.peer.devices.places import Place
from cortex.peer.node import Node
from tests.peer.by_hand import CONFIG, DEATH, Wish, by_hand, load, ready, settle


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
