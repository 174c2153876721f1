"""Models that go for another one while their engine ends: it is not told of them once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cortex.peer.config import EvictionConfig
from cortex.peer.devices.places import Place
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
