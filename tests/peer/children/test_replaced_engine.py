"""Engines that really die, fall silent or hang, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.child import POISONED_EXIT_CODE
from cortex.engine.stream import Event, Finished, Piece, Stage, TextDelta
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.config import PeerConfig
from cortex.peer.errors import AttemptsExhausted
from cortex.peer.node import Node

MakeConfig = Callable[..., PeerConfig]
# The real engine starts twice and answers twice: forty seconds where ten others want two cores.
DEADLINE_S = 120
TOKENS = 16


def ask(text: str, model: str = "fake", **changes: Any) -> ChatRequest:
    messages = (Message("user", (TextPart(text),)),)
    fields: dict[str, Any] = {"seed": 1, "now_s": 0, "max_tokens": TOKENS}
    return ChatRequest(model, messages, **(fields | changes))


async def collect(events: AsyncGenerator[Event]) -> list[Event]:
    async with asyncio.timeout(DEADLINE_S), aclosing(events):
        return [event async for event in events]


def whole(events: list[Event]) -> tuple[str, Event]:
    assert isinstance(events[-1], Finished)
    return "".join(
        delta.text
        for event in events
        if isinstance(event, Piece)
        for delta in event.deltas
        if isinstance(delta, TextDelta)
    ), events[-1]


@pytest.mark.parametrize(
    ("how", "at", "last_end"),
    [
        ("kill", 0, "ended, signal SIGKILL, as when memory runs out"),
        ("kill", 5, "ended, signal SIGKILL, as when memory runs out"),
        ("exit", TOKENS - 1, "ended, exit code 3"),
        ("poison", 5, "the device failed for good: so says the script, exit code"),
        ("freeze", 5, "said nothing for 2 s, killed"),
        ("hang", 5, "did nothing for 2 s, with work to do, killed"),
    ],
)
async def test_answer_goes_on_in_the_next_process(
    make_config: MakeConfig, write_harm: Callable[..., Path], how: str, at: int, last_end: str
):
    async with Node(make_config()) as node:
        expected = whole(await collect(node.chat(ask("hello"))))
    script = write_harm(how=how, at=at)
    # Heartbeats come every second: so short a patience is for those alone who try it.
    impatience: dict[str, dict[str, float]] = {
        "freeze": {"child_silence_s": 2.0},
        "hang": {"step_deadline_s": 2.0},
    }
    config = make_config(fake_script=script, **impatience.get(how, {}))
    async with Node(config) as node:
        assert whole(await collect(node.chat(ask("hello")))) == expected
        engine = node.health.engines[0]
        assert engine.num_restarts == 1
        assert engine.last_end is not None and last_end in engine.last_end
        [lost] = [one.text for one in node.chronicle.latest(99) if one.what == "engine_lost"]
        assert engine.last_end in lost
        assert node.recent.number(asyncio.get_running_loop().time(), "failovers") == 1
        if how == "poison":
            assert engine.last_end.endswith(f"exit code {POISONED_EXIT_CODE}")


async def test_neighbours_of_a_request_that_kills_engines_get_their_answers(
    make_config: MakeConfig, write_harm: Callable[..., Path]
):
    texts = ["one", "two", "three"]
    async with Node(make_config()) as node:
        expected = [whole(await collect(node.chat(ask(text)))) for text in texts]
    config = make_config(fake_script=write_harm(how="kill", at=3, epochs=99, word="killer"))
    async with Node(config) as node:
        asking = [collect(node.chat(ask(text))) for text in (*texts, "killer")]
        *others, killer = await asyncio.gather(*asking, return_exceptions=True)
        assert [whole(events) for events in others if isinstance(events, list)] == expected
        assert isinstance(killer, AttemptsExhausted)


async def test_load_that_does_not_move_is_given_up(
    make_config: MakeConfig, write_harm: Callable[..., Path]
):
    script = write_harm(how="hang", at="load")
    config = make_config(fake_script=script, step_deadline_s=1.0, max_replays=0)
    async with Node(config) as node:
        with pytest.raises(AttemptsExhausted, match="did nothing for 1 s"):
            await collect(node.chat(ask("hello")))


async def test_real_engine_killed_in_the_middle_of_an_answer_is_not_missed(
    make_config: MakeConfig,
):
    request = ask("Who are you?", model="cortex-nano", max_tokens=40)
    async with (
        asyncio.timeout(DEADLINE_S),
        Node(make_config(engine="torch", cpu_threads=1)) as node,
    ):
        expected = whole(await collect(node.chat(request)))
        first_pid, events = node.health.engines[0].pid, list[Event]()
        assert first_pid is not None
        async with aclosing(node.chat(request)) as answer:
            async for event in answer:
                events.append(event)
                if isinstance(event, Piece) and first_pid == node.health.engines[0].pid:
                    os.kill(first_pid, signal.SIGKILL)
        assert whole(events) == expected
        assert node.health.engines[0].num_restarts == 1
        texts = [n for n, event in enumerate(events) if isinstance(event, Piece)]
        pause = events[texts[0] : texts[-1]]
        assert Stage("starting") in pause, "it was in the middle"
