"""Compiled grammars of one model, and the matchers that follow answers through them.

What a grammar's matchers learn of it they share, which makes masks cheap; but what they share is
also bounded together. So a matcher that fails is tried again alone: whether an answer can go on
must depend on its grammar and its tokens, and on nobody else's answers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import llguidance

from .limits import parser_limits

# Of each model, in no budget: a hostile one has learnt some forty megabytes of states in the end.
_MAX_GRAMMARS = 8


class GrammarBroken(Exception):
    """No token may come next that obeys the grammar, or finding one takes too much work."""


class Matchers:
    """The grammars used last stay compiled. May be asked from several threads."""

    def __init__(
        self, tokenizer: llguidance.LLTokenizer, limits: llguidance.LLParserLimits | None = None
    ) -> None:
        """`limits` are those of `limits.py` unless something else is said."""
        self._tokenizer = tokenizer
        self._limits = limits or parser_limits()
        self._lock = threading.Lock()
        self._compiled: OrderedDict[str, llguidance.LLMatcher] = OrderedDict()

    def open(self, grammar: str) -> AnswerMatcher:
        with self._lock:
            compiled = self._compiled.get(grammar)
        if compiled is None:
            compiled = self.alone(grammar)
        with self._lock:
            self._compiled[grammar] = compiled
            self._compiled.move_to_end(grammar)
            if len(self._compiled) > _MAX_GRAMMARS:
                self._compiled.popitem(last=False)
        return AnswerMatcher(self, grammar, compiled.deep_copy())

    def alone(self, grammar: str) -> llguidance.LLMatcher:
        """One that shares nothing with any other."""
        return llguidance.LLMatcher(self._tokenizer, grammar, log_level=0, limits=self._limits)

    def forget(self, grammar: str) -> None:
        with self._lock:
            self._compiled.pop(grammar, None)

    @property
    def end_id(self) -> int:
        """The bit behind all tokens in a mask: the answer may end."""
        return self._tokenizer.eos_token


class AnswerMatcher:
    """One answer on its way through a grammar."""

    def __init__(self, matchers: Matchers, grammar: str, matcher: llguidance.LLMatcher) -> None:
        self._matchers = matchers
        self._grammar = grammar
        self._matcher = matcher
        self._token_ids: list[int] = []

    @property
    def end_id(self) -> int:
        return self._matchers.end_id

    def take(self, token_ids: list[int]) -> None:
        self._token_ids += token_ids
        self._matcher.consume_tokens(token_ids)

    def mask(self) -> bytes:
        """A bit for each token, from the lowest of the first byte on.

        Raises GrammarBroken.
        """
        mask = self._matcher.compute_bitmask()
        if not self._matcher.is_error():
            return mask
        self._matchers.forget(self._grammar)
        self._matcher = self._matchers.alone(self._grammar)
        self._matcher.consume_tokens(self._token_ids)
        mask = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise GrammarBroken
        return mask
