"""How the screens of the chat and the logs look, against pictures somebody has looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from cortex.engine.stream import (
    Accepted,
    Event,
    Finished,
    Piece,
    ReasoningDelta,
    Stage,
    TextDelta,
    Usage,
)
from cortex.engine.types import ChatRequest, ImageTokens
from cortex.peer.onlooker.log_lines import LogLine, Skipped
from cortex.peer.types import ModelInfo, Whereabouts
from cortex.tui.look import Look
from cortex.tui.widgets.message import MessageField
from cortex.tui.widgets.turns import AnswerTurn

ANSWER: tuple[Event, ...] = (
    Accepted(3830, (ImageTokens(1664, 2336, 988),), 100),
    Piece((ReasoningDelta("It is at the bottom."),)),
    Piece((TextDelta("The total is **1,482.30**, due on **14 December**:\n\n"),)),
    Piece((TextDelta("| what | sum |\n|---|---|\n| net | 1,245.63 |\n| tax | 236.67 |\n"),)),
    Finished("stop", Usage(3830, 43, 64, 9)),
)
MODELS = (
    ModelInfo(
        "qwen3.6-27b", None, ("text", "vision"), 262_144, 0, where=(Whereabouts("a", "warm"),)
    ),
    ModelInfo("qwen3.5-4b", None, ("text",), 32_768, 0, where=(Whereabouts("b", "cold"),)),
)


class Peer:
    """Answers as told, the second time with a wait that does not end."""

    name = answered_by = "atlas:13131"

    def __init__(self) -> None:
        self.waits: Event | None = None
        self.now_s = 0.0

    async def models(self) -> tuple[ModelInfo, ...]:
        return MODELS

    async def picture_tokens(self, model: str, picture: bytes) -> int:
        return 64

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        if self.waits is not None:
            yield self.waits
            await asyncio.Event().wait()
        for event in ANSWER:
            self.now_s += isinstance(event, Piece) / 2
            yield event


@pytest.fixture
def peer(acting: Any, monkeypatch: pytest.MonkeyPatch) -> Peer:
    fake = Peer()

    @asynccontextmanager
    async def talk(_: Callable[[str], None]) -> AsyncGenerator[Peer]:
        yield fake

    acting.talk = talk
    # Every answer takes the same time: half a second to its first token.
    begin = AnswerTurn.__init__

    def begin_evenly(turn: AnswerTurn, model: str, look: Look) -> None:
        begin(turn, model, look, lambda: fake.now_s)

    monkeypatch.setattr(AnswerTurn, "__init__", begin_evenly)
    return fake


Open = Callable[[Pilot[None], str, str], Any]


@pytest.fixture
def opened(feed: Any, told: Any, eyes: Any) -> Open:
    async def open_screen(pilot: Pilot[None], key: str, words: str) -> None:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "atlas" in eyes.screen(pilot))
        await pilot.press(key)
        await eyes.until(pilot, lambda: words in eyes.screen(pilot))
        for field in pilot.app.screen.query(MessageField):
            field.cursor_blink = False

    return open_screen


async def _ask(pilot: Pilot[None], eyes: Any, words: str, until: str) -> None:
    pilot.app.screen.query_one(MessageField).insert(words)
    await pilot.press("enter")
    await eyes.until(pilot, lambda: until in eyes.screen(pilot))


async def test_a_conversation(
    dress: Any,
    opened: Open,
    peer: Peer,
    looks_like: Any,
    eyes: Any,
) -> None:
    async with dress.start() as pilot:
        await opened(pilot, "4", "Ask about")
        await _ask(pilot, eyes, "What is the total, and when is it due?", "ttft")
        peer.waits = Stage("loading", 74, 100, "bytes", 3.2)
        await _ask(pilot, eyes, "And who sent it?", "~3 s")
        await looks_like(pilot, f"chat-{dress.name}")


async def test_a_chat_before_its_first_word(
    make_app: Any, opened: Open, peer: Peer, looks_like: Any
) -> None:
    async with make_app().run_test() as pilot:
        await opened(pilot, "4", "Ask about")
        await looks_like(pilot, "chat-empty")


async def test_a_chat_of_who_only_looks_on(
    make_app: Any, opened: Open, read_only: Any, looks_like: Any
) -> None:
    async with make_app(acting=read_only).run_test() as pilot:
        await opened(pilot, "4", "only looks on")
        await looks_like(pilot, "chat-read-only")


async def test_who_answers(
    make_app: Any, opened: Open, peer: Peer, looks_like: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await opened(pilot, "4", "Ask about")
        await pilot.press("ctrl+t")
        await eyes.until(pilot, lambda: "who answers" in eyes.screen(pilot))
        await looks_like(pilot, "chat-models")


async def test_a_picture_to_attach(
    make_app: Any,
    opened: Open,
    peer: Peer,
    looks_like: Any,
    eyes: Any,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(checkout / "examples")
    async with make_app().run_test(size=(100, 32)) as pilot:
        await opened(pilot, "4", "Ask about")
        await pilot.press("ctrl+o", *"receipt.png")
        await eyes.until(pilot, lambda: "64 tokens" in eyes.screen(pilot))
        await looks_like(pilot, "chat-attach")


async def test_a_chat_whose_peer_is_gone(
    make_app: Any, opened: Open, peer: Peer, looks_like: Any, eyes: Any, feed: Any
) -> None:
    async with make_app().run_test() as pilot:
        await opened(pilot, "4", "Ask about")
        await _ask(pilot, eyes, "What is the total, and when is it due?", "ttft")
        feed.lose()
        await eyes.until(pilot, lambda: "lost" in eyes.screen(pilot))
        await looks_like(pilot, "chat-lost")


@pytest.fixture
def logs(acting: Any) -> dict[str, list[LogLine | Skipped]]:
    """What each peer tells; an error where it holds none."""
    noon_s = datetime(2026, 11, 21, 12, 0).timestamp()
    lines: dict[str, list[LogLine | Skipped]] = {
        "atlas": [
            LogLine(noon_s, "info", "peer.devices", "loaded model=qwen3.6-27b took_s=11.4"),
            Skipped(1240),
            LogLine(noon_s + 2, "warning", "peer.hop", "slow peer=delta round_trip_ms=812"),
        ],
        "borea": [
            LogLine(noon_s + 1, "error", "peer.children", "engine ended code=86 " + "again " * 20),
        ],
    }

    @asynccontextmanager
    async def follow(peer: str, since_s: float) -> AsyncGenerator[AsyncGenerator[Any]]:
        async def told() -> AsyncGenerator[LogLine | Skipped]:
            for line in lines.get(peer, ()):
                yield line
            await asyncio.Event().wait()

        yield told()

    acting.follow_log = follow
    return lines


async def test_the_logs(dress: Any, opened: Open, logs: Any, looks_like: Any) -> None:
    async with dress.start() as pilot:
        await opened(pilot, "5", "engine ended")
        await looks_like(pilot, f"logs-{dress.name}")


async def test_logs_of_which_there_are_none(
    make_app: Any, opened: Open, logs: Any, looks_like: Any
) -> None:
    logs.clear()
    async with make_app().run_test() as pilot:
        await opened(pilot, "5", "No line yet")
        await looks_like(pilot, "logs-empty")


async def test_logs_whose_peer_is_gone(
    make_app: Any, opened: Open, logs: Any, looks_like: Any, eyes: Any, feed: Any
) -> None:
    async with make_app().run_test() as pilot:
        await opened(pilot, "5", "engine ended")
        feed.lose()
        await eyes.until(pilot, lambda: "last data" in eyes.screen(pilot))
        await looks_like(pilot, "logs-lost")
