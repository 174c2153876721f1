"""Answers that outlive their engine. Engines in memory die after a number of messages.

Each next token of the fake engine is a hash of all before it: one token lost, doubled or torn
would change the rest of the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.fake import FakeConfig
from cortex.engine.messages import Cancel
from cortex.engine.stream import Event, Finished, Piece, Stage, Usage
from cortex.engine.types import ChatRequest, Message, RawText, TextPart, TokenLogprob, Tool
from cortex.peer.config import PeerConfig
from cortex.peer.deltas import Said, said
from cortex.peer.errors import AttemptsExhausted
from cortex.peer.node import Node

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
DEADLINE_S = 30
TOKENS = 24
# Characters of two, three and four bytes, and beginnings of a stop string that is never complete.
REPLIES = ("Grüße 🎉 STO → STOP? ST", "naïve 語 STOSTO €uro")


@dataclass(frozen=True, slots=True)
class Whole:
    """One answer as its client has it."""

    said: Said
    token_ids: tuple[int, ...]
    reason: str
    usage: Usage
    logprobs: tuple[TokenLogprob, ...]


def ask(text: str, **changes: Any) -> ChatRequest:
    messages = (Message("user", (TextPart(text),)),)
    fields: dict[str, Any] = {"seed": 1, "now_s": 0, "max_tokens": TOKENS, "stop": ("STOP!",)}
    return ChatRequest("fake", messages, **(fields | changes))


def whole(events: Sequence[Event], choice: int = 0) -> Whole:
    [finished] = [e for e in events if isinstance(e, Finished) and e.choice == choice]
    pieces = [e for e in events if isinstance(e, Piece) and e.choice == choice]
    return Whole(
        said(delta for piece in pieces for delta in piece.deltas),
        tuple(token_id for piece in pieces for token_id in piece.token_ids),
        finished.reason,
        finished.usage,
        tuple(logprob for piece in pieces for logprob in piece.logprobs),
    )


async def collect(events: AsyncGenerator[Event]) -> list[Event]:
    async with asyncio.timeout(DEADLINE_S), aclosing(events):
        return [event async for event in events]


async def answers(config: PeerConfig, children: Children, requests: list[ChatRequest]) -> Any:
    """Each request's answer, or the error that it ended with; all are asked at once."""

    async def one(node: Node, request: ChatRequest) -> Whole | CortexError:
        try:
            return whole(await collect(node.chat(request)))
        except CortexError as error:
            return error

    async with Node(config, children.spawn) as node:
        return await asyncio.gather(*(one(node, request) for request in requests))


async def until_text(events: AsyncGenerator[Event]) -> None:
    async for event in events:
        if isinstance(event, Piece):
            return


async def until_stage(events: AsyncGenerator[Event], name: str) -> None:
    async for event in events:
        if isinstance(event, Stage) and event.name == name:
            return


# A life of N messages ends: 0-2 while loading, 3-5 before the first token, then between tokens.
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lives=st.lists(st.integers(0, TOKENS + 8), max_size=2),
    num_requests=st.integers(1, 3),
    replies=st.sampled_from([(), REPLIES]),
)
@example(lives=[0, 0], num_requests=1, replies=())
@example(lives=[2, 3], num_requests=1, replies=())
@example(lives=[4 + TOKENS - 1, 4], num_requests=1, replies=())
@example(lives=[4 + TOKENS, 4], num_requests=1, replies=())
def test_answer_is_the_same_whenever_its_engine_dies(
    make_config: MakeConfig,
    memory_children: Children,
    lives: list[int],
    num_requests: int,
    replies: tuple[str, ...],
):
    requests = [ask(f"question {n}") for n in range(num_requests)]
    fake = FakeConfig(replies)

    async def play() -> None:
        calm = memory_children(fake=fake)
        restless = memory_children(lives, fake=fake)
        expected = await answers(make_config(), calm, requests)
        assert await answers(make_config(), restless, requests) == expected
        assert len(expected[0].said.text) > 5

    asyncio.run(play())


async def test_reasoning_and_calls_go_on_where_they_were_with_the_same_ids(
    make_config: MakeConfig, memory_children: Children
):
    call = '<tool_call>{"name": "f", "arguments": {"a": "€"}}</tool_call>'
    fake = FakeConfig((f"<think>hm</think>So:\n{call}\n{call}",))
    request = ask("a", tools=(Tool("f"),), max_tokens=200)
    [expected] = await answers(make_config(), memory_children(fake=fake), [request])
    assert [len(expected.said.calls), expected.said.reasoning] == [2, "hm"]
    for num_tokens in range(0, expected.usage.completion_tokens, 3):
        children = memory_children([3 + 1 + num_tokens], fake=fake)
        assert await answers(make_config(), children, [request]) == [expected]


async def test_client_sees_a_pause_and_what_is_waited_for(
    make_config: MakeConfig, memory_children: Children
):
    async with Node(make_config(), memory_children([9]).spawn) as node:
        events = await collect(node.chat(ask("a")))
    first = next(n for n, event in enumerate(events) if isinstance(event, Piece))
    stages = [event.name for event in events[first:] if isinstance(event, Stage)]
    assert [name for name, _ in groupby(stages)][:2] == ["starting", "loading"]
    assert stages[-1] == "prefill"


async def test_second_engine_is_given_the_tokens_so_far_under_the_next_epoch(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children([9])
    async with Node(make_config(), children.spawn) as node:
        answer = whole(await collect(node.chat(ask("a"))))
    first, second = children.wanted
    prompts = [generate.prompt for generate in children.generates]
    assert (first.epoch, first.resume_token_ids) == (1, ())
    assert second.epoch == 2
    assert second.resume_token_ids == answer.token_ids[: len(second.resume_token_ids)] != ()
    assert prompts[1] == prompts[0]


async def test_choices_that_ended_stay_ended_and_the_others_go_on(
    make_config: MakeConfig, memory_children: Children
):
    # The stop string ends the choices at different tokens.
    request = ask("a", num_choices=3, stop=("a", "z"), top_logprobs=2)
    expected = await choices(make_config(), memory_children(), request)
    ends = sorted(answer.usage.completion_tokens for answer in expected)
    assert ends[0] < ends[-1]
    # Three messages of the load and one a choice come before the first token's.
    for num_tokens in range(ends[-1] + 1):
        children = memory_children([3 + 3 + num_tokens])
        assert await choices(make_config(), children, request) == expected


async def test_an_engine_is_given_a_prompt_once_for_all_choices(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children([8])
    await choices(make_config(), children, ask("a", num_choices=3))
    wanted = [[w.choice for w in generate.wanted] for generate in children.generates]
    assert wanted == [[0, 1, 2]] * 2, "one engine, and the next"


async def choices(config: PeerConfig, children: Children, request: ChatRequest) -> list[Whole]:
    async with Node(config, children.spawn) as node:
        events = await collect(node.chat(request))
    return [whole(events, choice) for choice in range(request.num_choices)]


async def test_words_of_an_abandoned_attempt_are_not_heard(
    make_config: MakeConfig, memory_children: Children
):
    requests = [ask("a"), ask("b")]
    expected = await answers(make_config(), memory_children(), requests)
    haunted = memory_children([12], is_haunted=True)
    assert await answers(make_config(), haunted, requests) == expected


async def test_health_tells_how_often_and_how_an_engine_ended(
    make_config: MakeConfig, memory_children: Children
):
    async with Node(make_config(), memory_children([9]).spawn) as node:
        await collect(node.chat(ask("a")))
        engine = node.health.engines[0]
        assert (engine.state, engine.num_restarts) == ("up", 1)
        assert engine.last_end == "ended, signal SIGKILL, as when memory runs out"
        assert (node.health.text.num_restarts, node.health.text.last_end) == (0, None)


async def test_dead_engine_that_nobody_needs_is_not_replaced(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with asyncio.timeout(DEADLINE_S), Node(make_config(), children.spawn) as node:
        await collect(node.chat(ask("a")))
        children.engines[0].kill()
        while node.health.engines[0].last_end is None:  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0)
        assert (node.health.engines[0].state, node.placement.placed) == ("stopped", ())
        assert len(children.engines) == 1
        await collect(node.chat(ask("a")))
        assert len(children.engines) == 2


async def test_client_that_leaves_between_two_engines_is_not_sent_to_the_second(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children([9, "mute"])
    async with asyncio.timeout(DEADLINE_S), Node(make_config(), children.spawn) as node:
        async with aclosing(node.chat(ask("a"))) as events:
            await until_text(events)
            await until_stage(events, "loading")
        assert node.health.live_requests == 0
        children.engines[1].kill()  # a load that nobody waits for any more
        assert whole(await collect(node.chat(ask("b")))).usage.completion_tokens == TOKENS
    assert len(children.wanted) == 2


async def test_client_that_leaves_a_resumed_answer_frees_the_engine(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children([9], fake=FakeConfig(token_interval_ms=1))
    async with asyncio.timeout(DEADLINE_S), Node(make_config(), children.spawn) as node:
        async with aclosing(node.chat(ask("a", max_tokens=10_000))) as events:
            await until_text(events)
            await until_stage(events, "prefill")
            await until_text(events)
        while not isinstance(children.heard[-1], Cancel):  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0)
        assert children.heard[-1].epoch == 2


async def test_peer_that_ends_between_two_engines_ends_its_answers(
    make_config: MakeConfig, memory_children: Children
):
    async with asyncio.timeout(DEADLINE_S):
        async with Node(make_config(), memory_children([9, "mute"]).spawn) as node:
            events = node.chat(ask("a"))
            await until_text(events)
            await until_stage(events, "loading")
        with pytest.raises(EngineFailed, match="stopped"):
            await until_text(events)


async def test_model_whose_load_kills_every_engine_is_not_tried_again_at_once_and_the_engine_rests(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children([1] * 3)
    async with asyncio.timeout(DEADLINE_S), Node(make_config(), children.spawn) as node:
        for _ in range(2):
            with pytest.raises(AttemptsExhausted, match="3 times"):
                await collect(node.chat(ask("a")))
        assert children.num_loads == 3
        node.wake()
        await asyncio.sleep(0)
        states: set[str] = set()
        while (state := node.health.engines[0].state) != "up":
            states.add(state)
            await asyncio.sleep(0.01)
        assert "resting" in states and states <= {"resting", "starting"}


@pytest.mark.parametrize("life", range(2, 8))
async def test_an_echo_is_told_once_however_often_its_engine_dies(
    make_config: MakeConfig, memory_children: Children, life: int
):
    request = ChatRequest(
        "fake", (), seed=1, now_s=0, raw=RawText("Once"), echo=True, top_logprobs=1, max_tokens=4
    )
    [expected] = await answers(make_config(), memory_children(), [request])
    assert expected.said.text.startswith("Once")
    assert len(expected.logprobs) == 8
    assert await answers(make_config(), memory_children([life]), [request]) == [expected]
