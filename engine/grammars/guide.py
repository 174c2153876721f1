"""What may come next in one answer, told of every token in order.

An answer with reasoning is free until the mark that ends it, which is looked for in the text; from
there on its grammar holds. At its budget the reasoning is ended as the model's own answers end it.
All of it is a function of the prompt and the tokens so far: an answer can be resumed anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InvalidRequest
from ..parsers.reply import THINK, THINK_END
from ..tokenizer import Tokenizer
from ..types import Prompt
from .matchers import AnswerMatcher, GrammarBroken

_CLOSING = f"\n{THINK_END}\n\n"
# Line breaks behind the mark are the mark's: no grammar needs to know of them.
_BREAKS = ("\n", "\n\n")
_END_MARK = THINK_END.encode()


@dataclass(frozen=True, slots=True)
class Free:
    """Any token. An answer that owes words still must not end."""

    may_end: bool


@dataclass(frozen=True, slots=True)
class Forced:
    """This token."""

    token_id: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """One of these tokens: a bit for each, from the lowest of the first byte on."""

    mask: bytearray


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing: the answer is complete."""


Next = Free | Forced | Allowed | Over
_Phase = Literal["start", "reasoning", "answer"]
_FIRST_PHASES: dict[str, _Phase] = {"none": "answer", "may_open": "start", "open": "reasoning"}


def needs_guide(prompt: Prompt) -> bool:
    has_budget = prompt.reasoning_budget_tokens is not None and prompt.reply.reasoning != "none"
    return bool(prompt.grammar) or has_budget


class Guide:
    """`take` every token of the answer, and ask for what comes `next` before each draw."""

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt, matcher: AnswerMatcher | None) -> None:
        """`matcher` follows the prompt's grammar, where it has one."""
        self._tokenizer = tokenizer
        self._matcher = matcher
        self._stop_token_ids = prompt.stop_token_ids
        self._budget_tokens = prompt.reasoning_budget_tokens
        # Where the mark that opens it is several tokens, a model with a grammar is not let begin to
        # reason: what it writes would have to obey two rules at once.
        self._think_id = _single(tokenizer.encode(THINK))
        self._phase: _Phase = _FIRST_PHASES[prompt.reply.reasoning]
        self._num_reasoning_tokens = 0
        self._num_tokens = 0
        self._closing: list[int] = []
        self._tail = b""
        self._break_ids = [
            i for text in _BREAKS if (i := _single(tokenizer.encode(text))) is not None
        ]
        self._num_breaks_left = 0
        self._watch_budget()

    @property
    def is_free_for_good(self) -> bool:
        """Nothing will be asked of the answer any more."""
        return self._phase == "answer" and self._matcher is None and not self._closing

    def take(self, token_id: int) -> None:
        self._num_tokens += 1
        self._closing = self._closing[1:]
        if self._phase == "reasoning":
            self._take_reasoning(token_id)
        elif self._phase == "start" and token_id == self._think_id:
            self._phase = "reasoning"
            self._watch_budget()
        elif self._num_breaks_left and token_id in self._break_ids:
            self._num_breaks_left -= 1
        else:
            self._phase, self._num_breaks_left = "answer", 0
            self._feed([token_id])

    def next(self) -> Next:
        """What may come now.

        Raises InvalidRequest where nothing can, which is the grammar's doing.
        """
        if self._closing:
            return Forced(self._closing[0])
        if self._matcher is None:
            return Free(may_end=True)
        if self._phase == "reasoning":
            return Free(may_end=False)
        return self._allowed(self._matcher)

    def _take_reasoning(self, token_id: int) -> None:
        self._num_reasoning_tokens += 1
        text = self._tail + self._shown(token_id)
        before, mark, behind = text.partition(_END_MARK)
        if mark:
            self._phase, self._num_breaks_left = "answer", len(_BREAKS)
            if rest := behind.decode("utf-8", "replace").lstrip("\n"):
                self._num_breaks_left = 0
                self._feed(self._tokenizer.encode(self._tokenizer.escape(rest)))
        else:
            self._tail = before[1 - len(_END_MARK) :]
            self._watch_budget()

    def _shown(self, token_id: int) -> bytes:
        """What the token says in the answer's text: control tokens say nothing but their marks."""
        data = self._tokenizer.token_bytes(token_id)
        is_hidden = self._tokenizer.is_special(token_id) and data != _END_MARK
        return b"" if is_hidden else data

    def _watch_budget(self) -> None:
        if self._phase == "reasoning" and self._num_reasoning_tokens == self._budget_tokens:
            self._closing = self._tokenizer.encode(_CLOSING)

    def _feed(self, token_ids: list[int]) -> None:
        if self._matcher is not None:
            self._matcher.take(token_ids)

    def _allowed(self, matcher: AnswerMatcher) -> Next:
        try:
            mask = bytearray(matcher.mask())
        except GrammarBroken:
            raise InvalidRequest(
                f"after {self._num_tokens} tokens nothing may come next that obeys what was asked"
                " of the answer, or it is too much work to find",
                "make the schema or grammar simpler",
            ) from None
        may_end = _has(mask, matcher.end_id)
        mask[matcher.end_id >> 3] &= ~(1 << (matcher.end_id & 7))
        if self._phase == "start" and self._think_id is not None:
            _add(mask, self._think_id)
        if may_end and mask.count(0) == len(mask):
            return Over()
        ends = self._stop_token_ids if may_end else ()
        breaks = self._break_ids if self._num_breaks_left else ()
        for token_id in (*ends, *breaks):
            _add(mask, token_id)
        return Allowed(mask)


def _single(token_ids: list[int]) -> int | None:
    return token_ids[0] if len(token_ids) == 1 else None


def _has(mask: bytearray, token_id: int) -> bool:
    return bool(mask[token_id >> 3] >> (token_id & 7) & 1)


def _add(mask: bytearray, token_id: int) -> None:
    if token_id >> 3 < len(mask):
        mask[token_id >> 3] |= 1 << (token_id & 7)
