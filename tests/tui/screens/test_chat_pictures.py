"""Pictures in the dashboard's conversation: attached, sent, refused and given back."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    Overloaded,
    TooManyImages,
    VisionUnsupported,
)
from cortex.engine.types import ChatRequest, ImagePart, TextPart
from cortex.peer.types import ModelInfo
from cortex.tui.widgets.message import MessageField
from tests.tui.screens.talking import WHOLE, Chat, FakePeer, write


async def offer(pilot: Pilot[None], eyes: Any, picture: Path) -> None:
    """Paste its name, and wait until it is known what it costs."""
    pilot.app.post_message(Paste(str(picture)))
    await eyes.until(pilot, lambda: "64 tokens" in eyes.screen(pilot))


async def test_enter_twice_at_once_attaches_a_picture_once(
    chat: Chat, peer: FakePeer, eyes: Any, checkout: Path
) -> None:
    picture = checkout / "tests" / "golden" / "images" / "square_96.png"
    async with chat() as pilot:
        await offer(pilot, eyes, picture)
        for _ in range(2):
            pilot.app.simulate_key("enter")
        await eyes.until(pilot, lambda: "[square_96.png" in eyes.screen(pilot))
        assert eyes.screen(pilot).count("[square_96.png") == 1


async def test_a_picture_is_drawn_weighed_and_sent_once(
    chat: Chat, peer: FakePeer, eyes: Any, checkout: Path
) -> None:
    picture = checkout / "tests" / "golden" / "images" / "square_96.png"
    async with chat() as pilot:
        await pilot.press("ctrl+o")
        await eyes.until(pilot, lambda: "attach a picture" in eyes.screen(pilot))
        begun = str(picture).removesuffix("96.png")
        pilot.app.screen.query_one("#name").insert(begun, 0)  # type: ignore[attr-defined]
        await pilot.press("tab")
        await eyes.until(pilot, lambda: "square_96.png  96x96  64 tokens" in eyes.screen(pilot))
        assert "▀▀▀▀" in eyes.screen(pilot)
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "[square_96.png  96x96  64 tokens]" in eyes.screen(pilot))
        await write(pilot, "what is it?")
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        sent = peer.asked[0].messages[-1].content
        assert sent == (ImagePart(picture.read_bytes(), "square_96.png"), TextPart("what is it?"))
        assert eyes.screen(pilot).count("[square_96.png") == 1


async def test_a_question_can_be_typed_as_soon_as_a_picture_is_attached(
    chat: Chat, eyes: Any, checkout: Path
) -> None:
    picture = checkout / "tests" / "golden" / "images" / "square_96.png"
    async with chat() as pilot:
        await pilot.press("escape")
        await pilot.press("ctrl+o")
        await eyes.until(pilot, lambda: "attach a picture" in eyes.screen(pilot))
        pilot.app.screen.query_one("#name").insert(str(picture), 0)  # type: ignore[attr-defined]
        await eyes.until(pilot, lambda: "64 tokens" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "[square_96.png" in eyes.screen(pilot))
        await pilot.press("q", "?")
        assert pilot.app.screen.query_one(MessageField).text == "q?"


async def test_a_misspelt_picture_is_told_in_sentences_with_one_full_stop_each(
    chat: Chat, eyes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "receipt.png").write_bytes(b"GIF8")
    async with chat() as pilot:
        await pilot.press("ctrl+o")
        await eyes.until(pilot, lambda: "attach a picture" in eyes.screen(pilot))
        pilot.app.screen.query_one("#name").insert("reciept.png", 0)  # type: ignore[attr-defined]
        await pilot.press("enter")
        words = "no picture at reciept.png. did you mean receipt.png?"
        await eyes.until(pilot, lambda: words in eyes.screen(pilot))


async def test_the_pasted_name_of_a_picture_offers_to_attach_it(
    chat: Chat, eyes: Any, checkout: Path
) -> None:
    picture = checkout / "tests" / "golden" / "images" / "square_96.png"
    async with chat() as pilot:
        pilot.app.post_message(Paste(f"'{picture}' "))
        await eyes.until(pilot, lambda: "96x96" in eyes.screen(pilot))
        assert "attach a picture" in eyes.screen(pilot)
        await pilot.press("escape")
        assert pilot.app.screen.query_one(MessageField).text == ""


async def test_a_picture_that_was_refused_is_let_go_of(
    chat: Chat, peer: FakePeer, eyes: Any, checkout: Path
) -> None:
    picture = checkout / "tests" / "golden" / "images" / "square_96.png"
    async with chat() as pilot:
        await offer(pilot, eyes, picture)
        await pilot.press("enter")
        await write(pilot, "what is it?")
        peer.give(VisionUnsupported("qwen3.6-27b cannot read images"))
        await eyes.until(pilot, lambda: "picture that went with it" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: len(peer.asked) == 2)
        assert peer.asked[1].messages[-1].content == (TextPart("what is it?"),)


async def attach(pilot: Pilot[None], eyes: Any, picture: Path) -> None:
    pilot.app.post_message(Paste(str(picture)))
    # Its size stands behind it once it is read; what it costs may not be known yet.
    await eyes.until(pilot, lambda: bool(re.search(rf"{picture.name}  \d", eyes.screen(pilot))))
    await pilot.press("enter")
    await eyes.until(pilot, lambda: f"[{picture.name}" in eyes.screen(pilot))


def pictures_of(request: ChatRequest) -> list[str]:
    content = request.messages[-1].content
    return [part.name for part in content if isinstance(part, ImagePart)]


@pytest.mark.parametrize("end", [None, VisionUnsupported("no pictures"), Overloaded("too many")])
async def test_a_picture_that_is_attached_while_an_answer_comes_goes_with_the_next_question(
    chat: Chat, peer: FakePeer, eyes: Any, checkout: Path, end: CortexError | None
) -> None:
    images = checkout / "tests" / "golden" / "images"
    async with chat() as pilot:
        await attach(pilot, eyes, images / "square_96.png")
        await write(pilot, "what is it?")
        await eyes.until(pilot, lambda: bool(peer.asked))
        await attach(pilot, eyes, images / "small_20x14.png")
        peer.give(*(WHOLE[:2] if end is None else ()), end)
        await eyes.until(pilot, lambda: "esc Stop" not in eyes.screen(pilot))
        pilot.app.screen.query_one(MessageField).clear()
        await write(pilot, "and this?")
        await eyes.until(pilot, lambda: len(peer.asked) == 2)
        newer = "small_20x14.png"
        assert pictures_of(peer.asked[0]) == ["square_96.png"]
        # What nobody has answered, nor refused for its pictures, is asked again with them.
        older = ["square_96.png"] if isinstance(end, Overloaded) else []
        assert pictures_of(peer.asked[1]) == [*older, newer]
        assert eyes.shown(pilot, "#attached") == ""


async def test_a_picture_that_is_attached_before_a_model_is_found_is_not_of_the_question_before(
    chat: Chat, peer: FakePeer, eyes: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_found = asyncio.Event()

    async def models() -> tuple[ModelInfo, ...]:
        await is_found.wait()
        return peer.listed

    monkeypatch.setattr(peer, "models", models)
    async with chat() as pilot:
        await write(pilot, "who are you?")
        await attach(pilot, eyes, checkout / "tests" / "golden" / "images" / "square_96.png")
        is_found.set()
        await eyes.until(pilot, lambda: bool(peer.asked))
        assert pictures_of(peer.asked[0]) == []
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        assert "[square_96.png" in eyes.shown(pilot, "#attached")


async def test_a_question_that_was_stopped_before_its_answer_gives_its_picture_back(
    chat: Chat, peer: FakePeer, eyes: Any, checkout: Path
) -> None:
    async with chat() as pilot:
        await attach(pilot, eyes, checkout / "tests" / "golden" / "images" / "square_96.png")
        await write(pilot, "what is it?")
        await eyes.until(pilot, lambda: bool(peer.asked))
        assert eyes.shown(pilot, "#attached") == ""
        await pilot.press("escape")
        await eyes.until(pilot, lambda: "[square_96.png" in eyes.shown(pilot, "#attached"))


@pytest.mark.parametrize(
    ("error", "advice", "other_advice"),
    [
        (TooManyImages("refused"), "go with every prompt", "begins anew"),
        (ContextLengthExceeded("refused"), "begins anew", "go with every prompt"),
    ],
)
async def test_where_earlier_pictures_are_refused_it_is_said_once_how_to_go_on(
    chat: Chat,
    peer: FakePeer,
    eyes: Any,
    checkout: Path,
    error: CortexError,
    advice: str,
    other_advice: str,
) -> None:
    picture = checkout / "tests" / "golden" / "images" / "square_96.png"
    async with chat() as pilot:
        await offer(pilot, eyes, picture)
        await pilot.press("enter")
        await write(pilot, "what is it?")
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        await write(pilot, "and now?")
        peer.give(error)
        await eyes.until(pilot, lambda: advice in eyes.screen(pilot))
        assert other_advice not in eyes.screen(pilot)
