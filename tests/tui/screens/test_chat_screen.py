"""The dashboard's conversation, by its keys and by what stands on the screen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.app import App
from textual.events import Paste
from textual.widgets import Markdown, Static

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    Overloaded,
)
from cortex.engine.stream import (
    Accepted,
    Finished,
    Piece,
    ReasoningDelta,
    Stage,
    Usage,
)
from cortex.engine.types import TextPart
from cortex.tui.widgets.message import MessageField
from tests.tui.screens.talking import BASE, BLIND, WHOLE, Chat, FakePeer, said, write

MB = 1_000_000


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


async def test_a_move_to_another_peer_is_said_by_name(
    chat: Chat, peer: FakePeer, eyes: Any
) -> None:
    async with chat() as pilot:
        await write(pilot, "one")
        await eyes.until(pilot, lambda: bool(peer.asked))
        peer.on_moved(f"{FakePeer.name} is gone; borea:13131 goes on")
        await eyes.until(pilot, lambda: "atlas is gone; borea:13131 goes on" in eyes.screen(pilot))


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
