"""Requests that were turned away for lack of room: few of them ask again at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from cortex.engine.errors import Overloaded
from cortex.engine.stream import Event
from cortex.engine.types import ChatRequest, TextPart
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.routing import asked

_NUM_REQUESTS = 8
_NUM_HELD = 3


async def test_of_those_that_were_turned_away_three_ask_again_and_the_others_lose_patience(
    open_fleet: Any, listen: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asked, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(asked, "_RESTS_S", {"busy": 0.1})
    num_asked, answers = Counter[str](), asyncio.Event()

    async def full_and_then_silent(
        host: NodeId, model: ModelId, request: ChatRequest, *_: object
    ) -> AsyncGenerator[Event]:
        [part] = request.messages[0].content
        assert isinstance(part, TextPart)
        num_asked[part.text] += 1
        if num_asked[part.text] > 1:
            await answers.wait()
        raise Overloaded("full")
        yield

    async with open_fleet(2) as fleet:
        monkeypatch.setattr(fleet.hops, "ask", full_and_then_silent)
        requests = [ask(f"number {number}") for number in range(_NUM_REQUESTS)]
        asking = [asyncio.create_task(listen(fleet, request)) for request in requests]
        ended = asyncio.as_completed(asking, timeout=10)
        for _ in range(_NUM_REQUESTS - _NUM_HELD):
            with pytest.raises(Overloaded, match="busy: peer1"):
                await next(ended)
        assert sorted(num_asked.values()) == [1] * (_NUM_REQUESTS - _NUM_HELD) + [2] * _NUM_HELD
        answers.set()
        for _ in range(_NUM_HELD):
            with pytest.raises(Overloaded):
                await next(ended)
        assert fleet.ingress._num_held == 0  # pyright: ignore
