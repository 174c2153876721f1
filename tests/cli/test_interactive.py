"""What a conversation does with each line, and with what goes wrong."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence

import pytest

from cortex.cli.diagnostics import Diagnostics
from cortex.cli.interactive import converse
from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    EngineFailed,
    InsufficientVram,
    InvalidImage,
    MemoryShortage,
    Overloaded,
    TooManyImages,
    VisionUnsupported,
)
from cortex.engine.types import ImagePart, Message, TextPart
from cortex.peer.errors import NoPeer, RequestTooLarge
from cortex.peer.talk.conversation import Conversation, Wishes
from cortex.peer.types import ModelInfo


class Talk:
    """Answers every prompt, but the first with an error; each with the pictures it came with."""

    model = "m"

    def __init__(self, error: CortexError) -> None:
        self._errors = [error]
        self.conversation = Conversation(Wishes())
        self.asked: list[tuple[str, list[str]]] = []

    def answer(self, prompt: str) -> object:
        names = [picture.name for picture in self.conversation.pictures]
        self.asked.append((prompt, names))
        if self._errors:
            raise self._errors.pop()
        return None

    def models(self) -> Sequence[ModelInfo]:
        return ()

    def switch(self, model: str) -> None:
        self.model = model

    def stats(self) -> Sequence[str]:
        return ()


class Keyboard:
    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    def line(self) -> str:
        try:
            return next(self._lines)
        except StopIteration:
            raise EOFError from None

    def has_unsent(self) -> bool:
        return False


def read(path: str) -> ImagePart:
    return ImagePart(b"bytes", path)


def talk_through(
    error: CortexError, *lines: str, turns: Iterable[Message] = ()
) -> tuple[Talk, str]:
    talk = Talk(error)
    talk.conversation.turns += turns
    return talk, converse_with(talk, *lines)


def converse_with(talk: Talk, *lines: str) -> str:
    diagnostics = Diagnostics(screen := io.StringIO(), can_redraw=False)
    converse(talk, Keyboard(lines), diagnostics, read, lambda _: None, lambda: False)
    return screen.getvalue()


@pytest.mark.parametrize(
    "refusal",
    [
        InvalidImage("refused"),
        VisionUnsupported("refused"),
        ContextLengthExceeded("refused"),
        RequestTooLarge("refused"),
    ],
)
def test_a_picture_that_was_refused_is_let_go_and_that_is_said(refusal: CortexError) -> None:
    talk, shown = talk_through(refusal, "/image a.png", "one", "two")
    assert talk.asked == [("one", ["a.png"]), ("two", [])]
    assert "error: refused.\nthe next prompt goes without a picture" in shown


@pytest.mark.parametrize(
    "error",
    [
        NoPeer("busy"),
        Overloaded("busy"),
        EngineFailed("busy"),
        InsufficientVram("busy"),
        InsufficientVram("busy", shortage=MemoryShortage(2, 1, is_final=True)),
    ],
)
def test_a_picture_stays_where_the_error_is_not_about_it(error: CortexError) -> None:
    talk, shown = talk_through(error, "/image a.png", "one", "two")
    assert talk.asked == [("one", ["a.png"]), ("two", ["a.png"])]
    assert "without a picture" not in shown


def test_a_prompt_that_had_no_picture_loses_none() -> None:
    _, shown = talk_through(ContextLengthExceeded("too long"), "one")
    assert "error: too long." in shown
    assert "without" not in shown


@pytest.mark.parametrize("kind", [InvalidImage, TooManyImages])
def test_where_earlier_pictures_are_refused_it_is_said_how_to_go_on(
    kind: type[CortexError],
) -> None:
    turns = [Message("user", (read("a.png"),)), Message("assistant", (TextPart("a bill"),))]
    _, shown = talk_through(kind("too many"), "one", turns=turns)
    assert "error: too many.\nthe pictures so far go with every prompt; /new begins" in shown


def test_a_full_context_that_shows_earlier_pictures_is_told_once_to_begin_anew() -> None:
    turns = [Message("user", (read("a.png"),)), Message("assistant", (TextPart("a bill"),))]
    _, shown = talk_through(ContextLengthExceeded("too long"), "one", turns=turns)
    assert shown.count("/new") == 1


def test_a_full_context_says_what_can_be_typed_about_it() -> None:
    class Told(Talk):
        def answer(self, prompt: str) -> object:
            request = self.conversation.ask(prompt, model="m", seed=1, now_s=2)
            super().answer(prompt)
            self.conversation.keep(request, "uno", "")
            self._errors.append(ContextLengthExceeded("too long"))
            return None

    _, shown = talk_through(ContextLengthExceeded("too long"), "one")
    assert "/new" not in shown, "there is nothing to begin anew"
    shown = converse_with(told := Told(Overloaded("busy")), "one", "one", "two")
    assert len(told.conversation.turns) == 2
    assert "/new begins anew, /save FILE keeps what was said." in shown


def test_ctrl_c_in_a_command_stops_it_and_not_the_conversation() -> None:
    class Slow(Talk):
        def models(self) -> Sequence[ModelInfo]:
            raise KeyboardInterrupt

    talk = Slow(Overloaded("busy"))
    assert "stopped.\n" in converse_with(talk, "/models", "one")
    assert talk.asked == [("one", [])]


def test_a_space_before_a_command_asks_it() -> None:
    talk, _ = talk_through(Overloaded("busy"), "  /system is a folder? ")
    assert talk.asked == [("/system is a folder?", [])]


def test_time_that_is_up_at_the_prompt_or_in_an_answer_ends_the_conversation_as_late() -> None:
    class Interrupted(Keyboard):
        def line(self) -> str:
            try:
                return super().line()
            except EOFError:
                raise KeyboardInterrupt from None

    def talk_till_late(lines: Sequence[str], is_late: Callable[[], bool]) -> Talk:
        talk, diagnostics = Talk(Overloaded("busy")), Diagnostics(io.StringIO(), can_redraw=False)
        converse(talk, Interrupted(lines), diagnostics, read, lambda _: None, is_late)
        return talk

    at_prompt, in_answer = iter((False, False, True, True)), iter((False, True))
    with pytest.raises(KeyboardInterrupt):
        talk_till_late(["one"], lambda: next(at_prompt))
    with pytest.raises(KeyboardInterrupt):
        talk_till_late(["one", "two"], lambda: next(in_answer))
    assert talk_till_late(["one"], lambda: False).asked == [("one", [])], "ctrl-c just leaves"
