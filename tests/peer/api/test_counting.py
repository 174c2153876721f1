"""How long a prompt is, asked of a node: no engine, no queue, and the number a request tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from cortex.engine.errors import ModelNotFound, Overloaded, VisionUnsupported
from cortex.engine.stream import Accepted, Finished, Piece
from cortex.engine.types import ChatRequest, ImagePart, Message, TextPart
from cortex.peer.config import PeerConfig
from cortex.peer.errors import AttemptsExhausted
from cortex.peer.node import Node

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
DEADLINE_S = 30


def ask(*parts: TextPart | ImagePart, model: str = "fake") -> ChatRequest:
    return ChatRequest(model, (Message("user", parts),), seed=1, now_s=0, max_tokens=2)


async def test_the_count_is_the_prompt_total_of_the_same_request(
    make_config: MakeConfig, memory_children: Children, png: bytes
):
    request = ask(TextPart("What is it?"), ImagePart(png))
    async with asyncio.timeout(DEADLINE_S), Node(make_config(), memory_children().spawn) as node:
        count = await node.count(request)
        async with aclosing(node.chat(request)) as chat:
            events = [event async for event in chat]
    [accepted] = [event for event in events if isinstance(event, Accepted)]
    last = events[-1]
    assert isinstance(last, Finished)
    assert accepted.prompt_tokens == last.usage.prompt_tokens == count


async def test_counting_starts_no_engine(make_config: MakeConfig, memory_children: Children):
    children = memory_children()
    async with asyncio.timeout(DEADLINE_S), Node(make_config(), children.spawn) as node:
        assert await node.count(ask(TextPart("hello"))) > 0
        assert (len(children.texts), len(children.engines)) == (1, 0)


async def test_a_peer_full_of_requests_counts_fifteen_at_once(
    make_config: MakeConfig, memory_children: Children
):
    config = make_config(max_live_requests=1, fake_token_interval_ms=50_000)
    request = ask(TextPart("hello"))
    async with (
        asyncio.timeout(DEADLINE_S),
        Node(config, memory_children().spawn) as node,
        aclosing(node.chat(request)) as busy,
    ):
        async for event in busy:
            if isinstance(event, Accepted):
                break
        with pytest.raises(Overloaded):
            await anext(node.chat(request))
        counts = await asyncio.gather(*(node.count(request) for _ in range(15)))
    assert len(set(counts)) == 1


async def test_counts_have_a_bound_of_their_own_and_leave_room_when_they_end(
    make_config: MakeConfig, memory_children: Children
):
    config = make_config(max_live_counts=2)
    request = ask(TextPart("hello"))
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        outcomes = await asyncio.gather(
            *(node.count(request) for _ in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [int, int, Overloaded]
        assert await node.count(request) == outcomes[0]


async def test_a_count_longer_than_the_context_is_told(
    make_config: MakeConfig, memory_children: Children
):
    config = make_config(context_limit_tokens=64)
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        assert await node.count(ask(TextPart("hello " * 100))) > 64


async def test_what_cannot_be_counted_says_why(
    make_config: MakeConfig, make_models: Callable[..., Any], memory_children: Children, png: bytes
):
    config = make_config(models_dirs=(make_models("blind", blind=True),))
    children = memory_children(bombs=["bomb", "bomb"])
    async with asyncio.timeout(DEADLINE_S), Node(config, children.spawn) as node:
        with pytest.raises(ModelNotFound):
            await node.count(ask(TextPart("a"), model="nobody"))
        with pytest.raises(VisionUnsupported, match="'fake' sees pictures"):
            await node.count(ask(ImagePart(png), model="blind"))
        with pytest.raises(AttemptsExhausted):
            await node.count(ask(TextPart("a bomb")))
        assert await node.count(ask(TextPart("a"))) > 0


async def test_who_leaves_a_count_leaves_nothing(
    make_config: MakeConfig, memory_children: Children
):
    config = make_config(max_live_counts=1)
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        leaving = asyncio.create_task(node.count(ask(TextPart("hello"))))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        assert await node.count(ask(TextPart("hello"))) > 0


async def test_how_an_answer_ended_reaches_who_asked(
    make_config: MakeConfig, memory_children: Children
):
    request = ask(TextPart("hello"))
    for changes, reason, stop_text in (
        ({"max_tokens": 2}, "length", None),
        ({"max_tokens": 10**6, "ignore_eos": True}, "context", None),
        ({"max_tokens": 0}, "length", None),
        ({"max_tokens": None, "stop": tuple("abcdefghijklmnopqrstuvwxyz")}, "stop", "letter"),
    ):
        config = make_config(context_limit_tokens=100)
        async with (
            asyncio.timeout(DEADLINE_S),
            Node(config, memory_children().spawn) as node,
            aclosing(node.chat(replace(request, **changes))) as chat,
        ):
            events = [event async for event in chat]
        last = events[-1]
        assert isinstance(last, Finished)
        assert last.reason == reason
        assert (last.stop_text is None) == (stop_text is None)
        assert any(isinstance(event, Piece) for event in events) == (changes["max_tokens"] != 0)
