"""The text of an answer taken apart while it comes: reasoning, words, tool calls.

A state machine, text in, deltas out; where the pieces are cut makes no difference to what comes
out all together. It raises nothing and loses nothing: a mark in the wrong place, or a call that is
none, is shown as the model wrote it; only a call that the limit cut off before its name is not
told at all. The line breaks beside marks are the marks' own. It knows nothing of tokens, and of a
model only its `ReplyFormat`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..stopping import StopScanner
from ..stream import Delta, ReasoningDelta, TextDelta
from ..types import ReplyFormat
from .calls import CallBody, CallWriter
from .edges import Edge
from .json_call import JsonCall
from .parameters import ParameterTypes
from .xml_call import FUNCTION, XmlCall

THINK, THINK_END = "<think>", "</think>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
MARKS = (THINK, THINK_END, CALL, CALL_END)
_SPACE = " \t\r\n"
# Only the spelling with tags shows what it is without the mark around it, which models forget.
_CALL_MARKS = {"none": (), "json": (CALL,), "xml": (CALL, FUNCTION)}


class ReplyParser:
    """Push the text of one answer, then `end` it. `call_id` names the calls by their index."""

    def __init__(self, form: ReplyFormat, call_id: Callable[[int], str]) -> None:
        self._call_id = call_id
        self._types = ParameterTypes(form.tools)
        self._call_marks: tuple[str, ...] = _CALL_MARKS[form.calls]
        self._is_words_or_calls = form.is_words_or_calls
        self._out: list[Delta] = []
        self._held = ""
        self._num_breaks = 0
        self._num_calls = 0
        self._has_text = False
        self._body: CallBody | None = None
        # How the text before the body was marked, should it turn out to be no call.
        self._opening = ""
        self._take = self._take_text
        self._begin_text(Edge(at_start=False))
        if form.reasoning == "open":
            self._begin_reasoning()
        elif form.reasoning == "may_open":
            self._take = self._take_start

    @property
    def is_reasoning(self) -> bool:
        return self._take == self._take_reasoning

    @property
    def is_in_words(self) -> bool:
        return self._take in (self._take_text, self._take_start)

    @property
    def is_at_edge(self) -> bool:
        """In words of which none have been shown yet, behind a mark."""
        return self._take == self._take_text and self._edge.is_at_start

    def push(self, text: str) -> tuple[Delta, ...]:
        """What the answer says by this piece of it."""
        while text:
            text = self._take(text)
        return self._taken()

    def end(self, *, is_cut: bool) -> tuple[Delta, ...]:
        """The rest, now that no more text will come: the model has ended, or it `is_cut`."""
        if self._take == self._take_start:
            self._show("\n" * self._num_breaks + self._held)
        elif self._take == self._take_reasoning:
            self._reason(self._edge.push(self._scanner.flush()) + self._edge.release())
        elif self._take == self._take_text:
            self._show(self._edge.push(self._scanner.flush()) + self._edge.release())
        elif self._take == self._take_block:
            self._show_unless_cut(self._opening + self._held, is_cut=is_cut)
        elif self._take == self._take_body and self._body is not None:
            refused = self._body.end(is_cut=is_cut)
            self._show_unless_cut(self._opening + refused if refused else "", is_cut=is_cut)
        return self._taken()

    def _taken(self) -> tuple[Delta, ...]:
        out, self._out = tuple(self._out), []
        return out

    # Each of these takes text in one state and returns what it leaves for the next.

    def _take_start(self, text: str) -> str:
        """Before the first word: the model may open its think block."""
        if not self._held:
            text, size = text.lstrip("\n"), len(text)
            self._num_breaks += size - len(text)
        self._held += text
        if self._held.startswith(THINK):
            rest, self._held = self._held.removeprefix(THINK), ""
            self._begin_reasoning()
            return rest
        if THINK.startswith(self._held):
            return ""
        rest, self._held = "\n" * self._num_breaks + self._held, ""
        self._begin_text(Edge(at_start=False))
        return rest

    def _take_reasoning(self, text: str) -> str:
        scan = self._scanner.push(text)
        self._reason(self._edge.push(scan.safe))
        if scan.matched is not None:
            self._begin_text(Edge(at_start=True))
        return scan.rest

    def _take_text(self, text: str) -> str:
        if not self._call_marks:
            self._show(self._edge.push(text) + self._edge.release())
            return ""
        scan = self._scanner.push(text)
        self._show(self._edge.push(scan.safe))
        if self._has_text and self._is_words_or_calls:
            self._call_marks = ()
            return (scan.matched or self._scanner.flush()) + scan.rest
        if scan.matched is None:
            return ""
        self._opening, self._held = self._edge.release() + scan.matched, ""
        if scan.matched == CALL:
            self._take = self._take_block
            return scan.rest
        self._opening = self._opening.removesuffix(FUNCTION)
        self._begin_body(XmlCall(self._writer(), self._types, is_wrapped=False))
        return scan.rest

    def _take_block(self, text: str) -> str:
        """Behind the mark of a call: its first character says how it is spelt."""
        bare = text if self._held else text.lstrip(_SPACE)
        self._opening += text[: len(text) - len(bare)]
        self._held += bare
        if self._held.startswith("{"):
            self._begin_body(JsonCall(self._writer()))
        elif self._held.startswith(FUNCTION):
            self._begin_body(XmlCall(self._writer(), self._types, is_wrapped=True))
            self._held = self._held.removeprefix(FUNCTION)
        elif FUNCTION.startswith(self._held):
            return ""
        else:
            self._refuse("")
        rest, self._held = self._held, ""
        return rest

    def _take_body(self, text: str) -> str:
        assert self._body is not None
        over = self._body.push(text)
        if over is None:
            return ""
        if over.refused:
            self._refuse(over.refused)
        else:
            self._num_calls += 1
            self._take = self._take_closing
        return over.rest

    def _take_closing(self, text: str) -> str:
        """Behind a call: the mark that closes it, if the model has not forgotten it."""
        self._held = (self._held + text).lstrip(_SPACE)
        if self._held != CALL_END and CALL_END.startswith(self._held):
            return ""
        rest, self._held = self._held.removeprefix(CALL_END), ""
        # A break after a call parts words behind it from words before it, if there were any.
        self._begin_text(Edge(at_start=not self._has_text))
        return rest

    def _begin_reasoning(self) -> None:
        self._edge = Edge(at_start=True)
        self._scanner = StopScanner((THINK_END,))
        self._take = self._take_reasoning

    def _begin_text(self, edge: Edge) -> None:
        self._edge = edge
        self._scanner = StopScanner(self._call_marks)
        self._take = self._take_text

    def _begin_body(self, body: CallBody) -> None:
        self._body = body
        self._take = self._take_body

    def _refuse(self, text: str) -> None:
        self._show(self._opening + text)
        self._begin_text(Edge(at_start=False))

    def _show_unless_cut(self, text: str, *, is_cut: bool) -> None:
        """What a model left open was no call; what the limit cut off may well have become one."""
        self._show("" if is_cut else text)

    def _writer(self) -> CallWriter:
        return CallWriter(self._emit, self._num_calls, self._call_id)

    def _emit(self, delta: Delta) -> None:
        self._out.append(delta)

    def _reason(self, text: str) -> None:
        if text:
            self._emit(ReasoningDelta(text))

    def _show(self, text: str) -> None:
        if text:
            self._has_text = True
            self._emit(TextDelta(text))
