"""The dashboard's conversation, by its keys and by what stands on the screen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Markdown, Static

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    Overloaded,
    TooManyImages,
    VisionUnsupported,
)
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
from cortex.engine.types import ChatRequest, ImagePart, TextPart
from cortex.peer.types import ModelInfo
from cortex.tui.widgets.message import MessageField

SEES = ModelInfo("qwen3.6-27b", None, ("text", "vision"), 262_144, 0)
BLIND = ModelInfo("tiny-1b", None, ("text",), 8_192, 0)
BASE = ModelInfo("base-1b", None, ("completion",), 8_192, 0)
MB = 1_000_000


def said(text: str) -> Piece:
    return Piece((TextDelta(text),))


class FakePeer:
    """Answers are the test's, piece by piece: it waits until the test has given the next."""

    name = answered_by = "127.0.0.1:13131"

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []
        self.is_stopped = False
        self.on_moved: Callable[[str], None] = lambda _: None
        self.listed: tuple[ModelInfo, ...] = (SEES, BLIND)
        self._events: asyncio.Queue[Event | CortexError | None] = asyncio.Queue()

    def give(self, *events: Event | CortexError | None) -> None:
        """None is the end."""
        for event in events:
            self._events.put_nowait(event)

    async def models(self) -> tuple[ModelInfo, ...]:
        return self.listed

    async def picture_tokens(self, model: str, picture: bytes) -> int:
        return 64

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        self.asked.append(request)
        try:
            while (event := await self._events.get()) is not None:
                if isinstance(event, CortexError):
                    raise event
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.is_stopped = True
            raise


@pytest.fixture
def peer(acting: Any) -> FakePeer:
    fake = FakePeer()

    @asynccontextmanager
    async def talk(on_moved: Callable[[str], None]) -> AsyncGenerator[FakePeer]:
        fake.on_moved = on_moved
        yield fake

    acting.talk = talk
    return fake


Chat = Callable[..., Any]


@pytest.fixture
def chat(make_app: Any, feed: Any, told: Any, eyes: Any, peer: FakePeer) -> Chat:
    """The chat screen of a dashboard that has seen its fleet."""

    @asynccontextmanager
    async def open_chat(
        size: tuple[int, int] = (80, 24), **options: Any
    ) -> AsyncGenerator[Pilot[None]]:
        async with make_app(**options).run_test(size=size) as pilot:
            feed.say(told.fleet([told.peer("atlas", api=FakePeer.name)]))
            await eyes.until(pilot, lambda: "atlas" in eyes.screen(pilot))
            await pilot.press("4")
            await eyes.until(pilot, lambda: "Ask about" in eyes.screen(pilot))
            yield pilot

    return open_chat


async def write(pilot: Pilot[None], text: str) -> None:
    field = pilot.app.screen.query_one(MessageField)
    field.focus()
    field.insert(text)
    await pilot.press("enter")


WHOLE = (
    Accepted(90, (), 100),
    said("It is **12.40**."),
    Finished("stop", Usage(90, 5, 64)),
    None,
)


async def test_an_answer_is_shown_with_its_figures_and_rendered_when_it_is_whole(
    chat: Chat, peer: FakePeer, feed: Any, told: Any, eyes: Any
) -> None:
    async with chat(refresh_s=0.02) as pilot:
        await write(pilot, "How much?")
        await eyes.until(pilot, lambda: bool(peer.asked))
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        text = eyes.screen(pilot)
        assert "you       How much?" in text
        assert "It is 12.40." in text
        assert "atlas" in text and "90 in, 64 reused" in text and "5 out" in text
        assert len(pilot.app.screen.query(Markdown)) == 1
        assert "qwen3.6-27b through atlas  ctx 95/256k" in text.splitlines()[0]
        gone = told.peer("atlas", api=FakePeer.name, state="dead")
        feed.say(told.fleet([told.peer("borea"), gone]))
        await eyes.until(pilot, lambda: "through atlas" not in eyes.screen(pilot).splitlines()[0])
        assert "qwen3.6-27b  ctx 95/256k" in eyes.screen(pilot).splitlines()[0]


async def test_a_model_that_does_not_chat_is_not_asked_unless_it_is_chosen(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    peer.listed = (BASE, BLIND)
    async with chat() as pilot:
        await write(pilot, "How much?")
        await eyes.until(pilot, lambda: bool(peer.asked))
        assert peer.asked[0].model == BLIND.id


async def test_the_wait_names_its_stage_how_far_it_is_and_how_long_it_takes(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "How much?")
        peer.give(Stage("loading", 74 * MB, 100 * MB, "bytes", 3.2))
        await eyes.until(pilot, lambda: "loading qwen3.6-27b 74 %, ~3 s ..." in eyes.screen(pilot))
        peer.give(Accepted(98_000, (), 100), Stage("prefill", 40_180, 98_000, "tokens"))
        await eyes.until(pilot, lambda: "reading 98,000 tokens, 41 %" in eyes.screen(pilot))


async def test_a_growing_answer_is_plain_text_drawn_ten_times_a_second_at_most(
    chat: Chat, peer: FakePeer, eyes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chat() as pilot:
        await write(pilot, "tell me")
        await eyes.until(pilot, lambda: bool(peer.asked))
        drawn: list[object] = []
        update = Static.update

        def noted(widget: Static, *content: Any, **options: Any) -> None:
            if widget.has_class("text"):
                drawn.append(content)
            update(widget, *content, **options)

        monkeypatch.setattr(Static, "update", noted)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number in range(60):
            peer.give(said(f"**{number}** "))
            await pilot.pause(0.001)
        await eyes.until(pilot, lambda: "**59**" in eyes.screen(pilot))
        took_s = loop.time() - began_s
        assert 1 <= len(drawn) <= 10 * took_s + 2
        assert not pilot.app.screen.query(Markdown)


async def test_escape_stops_the_answer_and_keeps_what_came(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "tell me everything")
        peer.give(Accepted(9, (), 9), said("It begins"))
        await eyes.until(pilot, lambda: "It begins" in eyes.screen(pilot))
        assert "esc Stop" in eyes.screen(pilot)
        await pilot.press("escape")
        await eyes.until(pilot, lambda: "stopped" in eyes.screen(pilot))
        assert peer.is_stopped
        assert "It begins" in eyes.screen(pilot)
        assert "esc Stop" not in eyes.screen(pilot)
        await write(pilot, "go on")
        await eyes.until(pilot, lambda: len(peer.asked) == 2)
        assert [message.role for message in peer.asked[1].messages] == ["user", "assistant", "user"]


async def test_thoughts_are_one_line_that_opens(chat: Chat, peer: FakePeer, eyes: Any) -> None:
    async with chat() as pilot:
        await write(pilot, "think")
        peer.give(Piece((ReasoningDelta("hm, "),)), Piece((ReasoningDelta("well"),)))
        await eyes.until(pilot, lambda: "thinking, 2 tokens" in eyes.screen(pilot))
        assert "hm, well" not in eyes.screen(pilot)
        peer.give(said("So."), Finished("stop", Usage(9, 12, reasoning_tokens=11)), None)
        await eyes.until(pilot, lambda: "thought, 11 tokens" in eyes.screen(pilot))
        await pilot.press("escape", "t")
        assert "hm, well" in eyes.screen(pilot)
        await pilot.press("t")
        assert "hm, well" not in eyes.screen(pilot)


async def test_a_message_of_several_lines_is_one_message(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        field = pilot.app.screen.query_one(MessageField)
        field.focus()
        await pilot.press("a", "alt+enter", "b", "ctrl+j", "c")
        pilot.app.post_message(Paste("d\ne"))
        await eyes.until(pilot, lambda: field.text.endswith("e"))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: bool(peer.asked))
        assert peer.asked[0].messages[-1].content == (TextPart("a\nb\ncd\ne"),)


async def test_keys_that_come_in_a_burst_are_sent_whole(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        pilot.app.screen.query_one(MessageField).focus()
        await pilot.pause()
        for key in (*"hello", "enter"):
            pilot.app.simulate_key(key)
        await eyes.until(pilot, lambda: bool(peer.asked))
        assert peer.asked[0].messages[-1].content == (TextPart("hello"),)


async def test_letters_in_the_field_are_letters_and_outside_of_it_keys(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await pilot.press("q", "1", "p")
        assert pilot.app.screen.query_one(MessageField).text == "q1p"
        assert "esc Leave" in eyes.screen(pilot)
        await pilot.press("escape")
        await eyes.until(pilot, lambda: "esc Leave" not in eyes.screen(pilot))
        await pilot.press("1")
        await eyes.until(pilot, lambda: "peers" in eyes.screen(pilot))
        await pilot.press("4", "i", "!")
        assert pilot.app.screen.query_one(MessageField).text == "q1p!"


async def test_a_refusal_is_shown_and_the_message_given_back(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "How much?")
        peer.give(Overloaded("too many requests wait here", "try again in 2 s"))
        await eyes.until(pilot, lambda: "too many requests wait here" in eyes.screen(pilot))
        assert "try again in 2 s" in eyes.screen(pilot)
        assert pilot.app.screen.query_one(MessageField).text == "How much?"


async def test_a_full_context_names_the_key_that_begins_anew(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "one")
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        await write(pilot, "two")
        peer.give(ContextLengthExceeded("prompt is too long"))
        await eyes.until(pilot, lambda: "^n begins anew" in eyes.screen(pilot))


async def test_another_model_is_told_the_conversation_and_that_is_said(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "one")
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        await pilot.press("ctrl+t")
        await eyes.until(pilot, lambda: "who answers" in eyes.screen(pilot))
        await pilot.press("j", "enter")
        words = "tiny-1b answers from now on; it is told the 1 turn so far"
        await eyes.until(pilot, lambda: words in eyes.screen(pilot))
        await write(pilot, "two")
        await eyes.until(pilot, lambda: len(peer.asked) == 2)
        assert peer.asked[1].model == "tiny-1b"
        assert len(peer.asked[1].messages) == 3
        assert "tiny-1b" in eyes.screen(pilot).splitlines()[0]


async def test_a_new_conversation_knows_nothing_of_the_old(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "one")
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        await pilot.press("ctrl+n")
        await eyes.until(pilot, lambda: "forget what was said" in eyes.screen(pilot))
        await pilot.press("escape")
        assert "ttft" in eyes.screen(pilot), "nothing is forgotten on the first key"
        await pilot.press("ctrl+n")
        await eyes.until(pilot, lambda: "forget what was said" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "Ask about" in eyes.screen(pilot))
        assert "ttft" not in eyes.screen(pilot)
        await write(pilot, "two")
        await eyes.until(pilot, lambda: len(peer.asked) == 2)
        assert len(peer.asked[1].messages) == 1


async def test_a_new_conversation_in_the_middle_of_an_answer_knows_nothing_of_it(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "one")
        peer.give(said("It begins"))
        await eyes.until(pilot, lambda: "It begins" in eyes.screen(pilot))
        await pilot.press("ctrl+n")
        await eyes.until(pilot, lambda: "forget what was said" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "Ask about" in eyes.screen(pilot))
        assert peer.is_stopped
        assert "It begins" not in eyes.screen(pilot)
        await write(pilot, "two")
        await eyes.until(pilot, lambda: len(peer.asked) == 2)
        assert len(peer.asked[1].messages) == 1


async def test_enter_twice_at_once_answers_a_question_once(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "one")
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        await pilot.press("ctrl+n")
        await eyes.until(pilot, lambda: "forget what was said" in eyes.screen(pilot))
        for _ in range(2):
            pilot.app.simulate_key("enter")
        await eyes.until(pilot, lambda: "Ask about" in eyes.screen(pilot))


async def test_enter_twice_at_once_attaches_a_picture_once(
    chat: Chat, peer: FakePeer, eyes: Any, checkout: Path
) -> None:
    picture = checkout / "tests" / "golden" / "images" / "square_96.png"
    async with chat() as pilot:
        pilot.app.post_message(Paste(str(picture)))
        await eyes.until(pilot, lambda: "64 tokens" in eyes.screen(pilot))
        for _ in range(2):
            pilot.app.simulate_key("enter")
        await eyes.until(pilot, lambda: "[square_96.png" in eyes.screen(pilot))
        assert eyes.screen(pilot).count("[square_96.png") == 1


async def test_a_move_to_another_peer_is_said_by_name(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "one")
        await eyes.until(pilot, lambda: bool(peer.asked))
        peer.on_moved(f"{FakePeer.name} is gone; borea:13131 goes on")
        await eyes.until(pilot, lambda: "atlas is gone; borea:13131 goes on" in eyes.screen(pilot))


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
        pilot.app.post_message(Paste(str(picture)))
        await eyes.until(pilot, lambda: "64 tokens" in eyes.screen(pilot))
        await pilot.press("enter")
        await write(pilot, "what is it?")
        peer.give(VisionUnsupported("qwen3.6-27b cannot read images"))
        await eyes.until(pilot, lambda: "the picture is let go of" in eyes.screen(pilot))
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
        pilot.app.post_message(Paste(str(picture)))
        await eyes.until(pilot, lambda: "64 tokens" in eyes.screen(pilot))
        await pilot.press("enter")
        await write(pilot, "what is it?")
        peer.give(*WHOLE)
        await eyes.until(pilot, lambda: "ttft" in eyes.screen(pilot))
        await write(pilot, "and now?")
        peer.give(error)
        await eyes.until(pilot, lambda: advice in eyes.screen(pilot))
        assert other_advice not in eyes.screen(pilot)


async def test_escape_sequences_in_an_answer_do_not_reach_the_terminal(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "one")
        peer.give(said("a\x1b]0;owned\x07b[red]c"))
        await eyes.until(pilot, lambda: "a]0;ownedb[red]c" in eyes.screen(pilot))


async def test_who_only_looks_on_asks_no_model_anything(
    make_app: Any, feed: Any, told: Any, eyes: Any, read_only: Any
) -> None:
    app: App[None] = make_app(acting=read_only)
    async with app.run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "atlas" in eyes.screen(pilot))
        await pilot.press("4")
        await eyes.until(pilot, lambda: "only looks on" in eyes.screen(pilot))
        assert not pilot.app.screen.query(MessageField)
        assert "Attach" not in eyes.screen(pilot)
        with pytest.raises(CortexError, match="only looks on"):
            read_only.talk(str)


async def test_the_model_may_be_named_beforehand(
    feed: Any, acting: Any, clock: Any, told: Any, eyes: Any, peer: FakePeer
) -> None:
    from cortex.tui.app import CortexApp
    from cortex.tui.options import Options

    app = CortexApp(feed, acting, Options("here", 1000.0, chat_model="tiny-1b"), clock)
    async with app.run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "atlas" in eyes.screen(pilot))
        await pilot.press("4")
        await write(pilot, "one")
        await eyes.until(pilot, lambda: bool(peer.asked))
        assert peer.asked[0].model == "tiny-1b"


async def test_an_ascii_terminal_gets_nothing_else(chat: Chat, peer: FakePeer, eyes: Any) -> None:
    async with chat(is_ascii=True) as pilot:
        await write(pilot, "one")
        table = "| a | b |\n|---|---|\n| 1 | 2 |"
        peer.give(said(f"> quoted\n\n{table}\n\n---\n\n- above\n  - below"), *WHOLE[-2:])
        await eyes.until(pilot, lambda: "* above" in eyes.screen(pilot))
        text = eyes.screen(pilot)
        assert text.isascii(), {char for char in text if not char.isascii()}
        assert "| quoted" in text and "-----" in text
