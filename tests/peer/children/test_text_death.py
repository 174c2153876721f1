"""Requests that bring the text process down, and their neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from cortex.engine.errors import CortexError
from cortex.engine.stream import Finished
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.config import PeerConfig
from cortex.peer.errors import AttemptsExhausted
from cortex.peer.node import Node

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
DEADLINE_S = 30


async def answer(node: Node, text: str) -> str:
    """How the request ended: a finish reason, or an error's name."""
    messages = (Message("user", (TextPart(text),)),)
    request = ChatRequest("fake", messages, seed=1, now_s=0, max_tokens=2)
    try:
        async with asyncio.timeout(DEADLINE_S), aclosing(node.chat(request)) as events:
            *_, last = [event async for event in events]
    except CortexError as error:
        return type(error).__name__
    assert isinstance(last, Finished)
    return last.reason


async def test_only_the_request_fails_that_brings_the_text_process_down(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children(bombs=["bomb", "bomb"])
    texts = ["one", "two", "a bomb", "three", "four"]
    async with Node(make_config(), children.spawn) as node:
        endings = await asyncio.gather(*(answer(node, text) for text in texts))
        assert endings == ["length", "length", AttemptsExhausted.__name__, "length", "length"]
        assert len(children.texts) == 3
        assert node.health.text.num_restarts == 2


async def test_prompt_whose_process_died_once_is_made_again(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children(bombs=["bomb"])
    async with Node(make_config(), children.spawn) as node:
        assert await answer(node, "a bomb") == "length"


async def test_two_bombs_at_once_are_each_their_own_requests_end(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children(bombs=["red bomb", "blue bomb"] * 2)
    texts = ["red bomb", "blue bomb", "peace"]
    async with Node(make_config(), children.spawn) as node:
        endings = await asyncio.gather(*(answer(node, text) for text in texts))
    assert endings == [AttemptsExhausted.__name__, AttemptsExhausted.__name__, "length"]
