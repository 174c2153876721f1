"""One answer from its first stage to its end, and what is shown of it where."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Generator
from typing import Any

import pytest

from cortex.cli.diagnostics import Diagnostics
from cortex.cli.output import Output
from cortex.cli.progress import ProgressLine
from cortex.cli.teller import Form, Rendering, Teller
from cortex.engine.errors import EngineFailed
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
from cortex.engine.types import ImagePart, ImageTokens, Message, TextPart
from cortex.peer.talk.answer import Answer, Arriving, receive
from cortex.peer.talk.conversation import Conversation, Wishes
from cortex.peer.talk.words import figures

PICTURE = ImagePart(b"bytes", "a.png")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Show:
    """A teller on strings, with a clock that ticks a second each time it is read."""

    def __init__(
        self,
        form: Form = "plain",
        *,
        terminal: bool = False,
        pictures: tuple[ImagePart, ...] = (PICTURE,),
        can_redraw: bool | None = None,
        hides_reasoning: bool = False,
    ) -> None:
        self.stdout, self.stderr = io.StringIO(), Screen() if terminal else io.StringIO()
        redraws = terminal if can_redraw is None else can_redraw
        diagnostics = Diagnostics(self.stderr, can_redraw=redraws)
        progress = ProgressLine(diagnostics, lambda: 0.0)
        output = Output(self.stdout)
        self.teller = Teller(output, diagnostics, progress, form, pictures, hides_reasoning)
        self._now_s = 0.0

    def clock(self) -> float:
        self._now_s += 1.0
        return self._now_s

    def receive(self, *events: Event | BaseException) -> Answer:
        answer = receive(played(*events), self.teller, Arriving(self.clock()), self.clock)
        self.teller.finished(answer, model="m", peer="here")
        return answer


def played(*events: Event | BaseException) -> Generator[Event]:
    for event in events:
        if isinstance(event, BaseException):
            raise event
        yield event


def said(text: str) -> Piece:
    return Piece((TextDelta(text),))


WHOLE: tuple[Event, ...] = (
    Stage("preparing"),
    Accepted(90, (ImageTokens(256, 128, 32),), 100),
    Stage("prefill", 10, 90, "tokens"),
    Piece((TextDelta("It "),), (1, 2)),
    Piece((TextDelta("is."),), (3, 4, 5)),
    Finished("stop", Usage(90, 5, 64)),
)


def test_an_answer_is_shown_as_it_comes_and_measured() -> None:
    show = Show()
    answer = show.receive(*WHOLE)
    assert show.stdout.getvalue() == "It is.\n"
    assert show.stderr.getvalue() == "image   a.png  256x128 -> 32 tokens\n"
    # Asked at 1 s, the first piece at 2 s, the last at 3 s: four tokens in one second.
    assert (answer.time_to_first_token_s, answer.tokens_per_s) == (1.0, 4.0)


def test_a_wait_in_the_middle_of_an_answer_takes_nothing_of_it_off_the_screen() -> None:
    show = Show(terminal=True)
    teller = show.teller
    teller.reasoning("hm")
    teller.waiting(Stage("starting"))
    assert show.stderr.getvalue() == "\x1b[2mhm\x1b[22m"
    teller.text("It ")
    before = show.stderr.getvalue()
    teller.waiting(Stage("starting"))
    teller.waiting(Stage("loading", 1, 2, "bytes"))
    teller.text("is.")
    assert (show.stdout.getvalue(), show.stderr.getvalue()) == ("It is.", before)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("plain", "image   a.png  256x128 -> 32 tokens\n"),
        ("json", '"images": [{"name": "a.png", "width": 256, "height": 128, "tokens": 32}]'),
    ],
)
def test_a_second_turn_tells_of_its_own_picture(form: Form, told: str) -> None:
    # The model is told of every turn's pictures: the first turn's, then this one's.
    both = (ImageTokens(640, 480, 300), ImageTokens(256, 128, 32))
    show = Show(form)
    show.receive(Accepted(90, both, 100), *WHOLE[3:])
    assert told in show.stderr.getvalue() + show.stdout.getvalue()
    assert "640" not in show.stderr.getvalue() + show.stdout.getvalue()


def test_a_turn_without_a_picture_tells_of_none() -> None:
    show = Show("json", pictures=())
    show.receive(*WHOLE)
    assert json.loads(show.stdout.getvalue())["images"] == []


def test_figures_are_for_people_alone() -> None:
    show = Show(terminal=True)
    show.receive(*WHOLE)
    figures = "here   ttft 1.00 s   4 tok/s   90 in, 64 reused   5 out\n"
    assert show.stderr.getvalue().endswith(figures)


THINKING: tuple[Event, ...] = (
    *WHOLE[:3],
    Piece((ReasoningDelta("hm\x1b[31m, "),), (1,)),
    Piece((ReasoningDelta("well."), TextDelta("It ")), (2, 3)),
    Piece((TextDelta("is."),), (4, 5)),
    Finished("stop", Usage(90, 5, reasoning_tokens=2)),
)


@pytest.mark.parametrize("can_redraw", [False, True])
def test_reasoning_is_shown_to_a_person_and_is_no_part_of_the_answer(can_redraw: bool) -> None:
    show = Show(terminal=True, pictures=(), can_redraw=can_redraw)
    answer = show.receive(*THINKING)
    assert (answer.text, answer.reasoning) == ("It is.", "hm\x1b[31m, well.")
    assert show.stdout.getvalue() == "It is.\n"
    pieces = ("hm[31m, ", "well.")
    shown = "".join(f"\x1b[2m{piece}\x1b[22m" if can_redraw else piece for piece in pieces)
    told = show.stderr.getvalue()
    assert f"{shown}\n\nhere" in told
    assert "5 out, 2 thought" in told


@pytest.mark.parametrize(
    ("form", "terminal", "hidden"),
    [("plain", False, False), ("plain", True, True), ("raw", True, False), ("json", True, False)],
)
def test_reasoning_is_not_shown_where_it_is_not_wanted(
    form: Form, terminal: bool, hidden: bool
) -> None:
    show = Show(form, terminal=terminal, pictures=(), hides_reasoning=hidden)
    show.receive(*THINKING)
    assert "well." not in show.stderr.getvalue()
    assert ("well." in show.stdout.getvalue()) == (form == "json")


class TerminalOutput(Output):
    is_terminal = True

    def __init__(self) -> None:
        self.stream = Screen()
        super().__init__(self.stream)


@pytest.mark.parametrize("has_notice", [False, True])
def test_a_notice_in_the_middle_of_an_answer_has_its_line_and_the_answer_stays(
    has_notice: bool,
) -> None:
    stderr, output = Screen(), TerminalOutput()
    diagnostics = Diagnostics(stderr, can_redraw=True)
    progress = ProgressLine(diagnostics, lambda: 0.0)
    rendering = Rendering(lambda: os.terminal_size((80, 24)), has_colour=True)
    teller = Teller(output, diagnostics, progress, "plain", (), rendering=rendering)
    teller.text("**It** ")
    if has_notice:
        diagnostics.notice("a is gone; b goes on")
    teller.text("is.")
    events = played(said("**It** is."), Finished("stop", Usage(1, 2)))
    answer = receive(events, teller, Arriving(0.0), lambda: 0.0)
    teller.finished(answer, model="m", peer="b")
    assert ("\na is gone; b goes on\n" in stderr.getvalue()) is has_notice
    assert ("\x1b[J" in output.stream.getvalue()) is not has_notice


@pytest.mark.parametrize(("piece", "ending"), [("It i", "\n"), ("It is.\n", "")])
def test_an_error_in_the_middle_of_an_answer_has_a_line_of_its_own(piece: str, ending: str) -> None:
    stderr, output = Screen(), TerminalOutput()
    diagnostics = Diagnostics(stderr, can_redraw=True)
    progress = ProgressLine(diagnostics, lambda: 0.0)
    teller = Teller(output, diagnostics, progress, "plain", ())
    teller.text(piece)
    teller.broken_off()
    diagnostics.error("ended")
    assert output.stream.getvalue() == f"{piece}{ending}"
    assert stderr.getvalue() == "error: ended.\n"


def test_reasoning_that_was_interrupted_ends_its_line() -> None:
    show = Show(terminal=True, pictures=())
    answer = show.receive(*THINKING[:4], KeyboardInterrupt())
    assert (answer.text, answer.finish_reason) == ("", "cancelled")
    assert "hm[31m, \x1b[22m\n\nhere" in show.stderr.getvalue()


def test_an_interrupt_ends_the_answer_with_what_had_come() -> None:
    show = Show("json")
    answer = show.receive(*WHOLE[:5], KeyboardInterrupt())
    assert (answer.text, answer.finish_reason) == ("It is.", "cancelled")
    told: dict[str, Any] = json.loads(show.stdout.getvalue())
    assert (told["answer"], told["finish_reason"]) == ("It is.", "cancelled")
    assert (told["prompt_tokens"], told["completion_tokens"]) == (90, 5)


def test_an_interrupt_before_anything_came_is_no_answer() -> None:
    show = Show()
    answer = show.receive(Stage("preparing"), KeyboardInterrupt())
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("", None, 0)
    assert show.stdout.getvalue() == ""


def test_counts_that_nobody_told_stay_unknown() -> None:
    answer = Show().receive(said("over HTTP"), KeyboardInterrupt())
    assert answer.completion_tokens is None
    assert figures(answer) == ["ttft 1.00 s", "stopped"]


def test_a_failure_is_raised_with_its_source_closed() -> None:
    closed: list[bool] = []

    def failing() -> Generator[Event]:
        try:
            yield said("half")
            raise EngineFailed("the engine died.")
        finally:
            closed.append(True)

    show, arriving = Show(), Arriving(0.0)
    with pytest.raises(EngineFailed):
        receive(failing(), show.teller, arriving, show.clock)
    assert closed
    assert arriving.answer().text == "half"
    assert show.stdout.getvalue() == "half"


def test_an_answer_that_ends_its_own_line_gets_no_other() -> None:
    show = Show()
    show.receive(said("a line\n"), Finished("stop", Usage(1, 2)))
    assert show.stdout.getvalue() == "a line\n"


def test_a_conversation_sends_all_its_turns_and_each_picture_once() -> None:
    conversation = Conversation(Wishes(system="Be brief.", temperature=0.0, max_tokens=9))
    conversation.pictures.append(PICTURE)
    first = conversation.ask("one", model="m", seed=1, now_s=2)
    assert first.messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (PICTURE, TextPart("one"))),
    )
    assert (first.seed, first.now_s, first.max_tokens, first.sampling.temperature) == (1, 2, 9, 0.0)
    conversation.keep(first, "uno", "hm")
    second = conversation.ask("two", model="m", seed=1, now_s=2)
    assert second.messages == (
        *first.messages,
        Message("assistant", (TextPart("uno"),), reasoning="hm"),
        Message("user", (TextPart("two"),)),
    )


def test_a_turn_that_was_not_kept_leaves_no_trace() -> None:
    conversation = Conversation(Wishes())
    conversation.ask("one", model="m", seed=1, now_s=2)
    assert len(conversation.ask("two", model="m", seed=1, now_s=2).messages) == 1
