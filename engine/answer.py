"""Tokens of one answer to what its client gets: whole characters, taken apart, up to a stop string.

What the real and the fake engine share, so that they cannot differ in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from .parsers.calls import CallIds
from .parsers.reply import MARKS, ReplyParser
from .stopping import StopScanner
from .stream import Delta, TextDelta, ToolCallEnd, Usage
from .tokenizer import Detokenizer, Tokenizer
from .types import Prompt, ScoredToken, TokenLogprob, TokenScores


class AnswerText:
    """Push every token of the answer in order; nothing more once `is_stopped`.

    Calls end an answer: what they bring is for the next turn. Words that a model writes behind them
    all the same, such as results that it made up, are no part of it.

    `stop_text` is the stop string that stopped it, where one did.

    Stop strings are looked for in the words of the answer alone: not in its reasoning, and not in
    its calls, which also part words before them from words behind them.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt) -> None:
        self.is_stopped = False
        self.stop_text: str | None = None
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer, shown=MARKS)
        self._parser = ReplyParser(prompt.reply, CallIds(prompt.sampling.seed, prompt.token_ids))
        self._takes_one_call = prompt.reply.takes_one_call
        self._scanner = StopScanner(prompt.stop)
        self._prompt_tokens = len(prompt.token_ids)
        self._num_tokens = 0
        self._num_reasoning_tokens = 0
        self._was_word = False
        self._tells_end = prompt.tells_end
        self._includes_stop = prompt.includes_stop
        self._has_called = False
        self._echo = prompt.echo
        self._echoed_ids: Sequence[int] = prompt.token_ids if prompt.echo else ()
        self._num_unechoed = (
            tokenizer.num_unwritten(prompt.token_ids, prompt.echo) if prompt.echo else 0
        )

    @property
    def num_tokens(self) -> int:
        return self._num_tokens

    @property
    def usage(self) -> Usage:
        return Usage(
            self._prompt_tokens, self._num_tokens, reasoning_tokens=self._num_reasoning_tokens
        )

    def resume(self, token_ids: Iterable[int]) -> None:
        """Take tokens that the client has already been told of."""
        for token_id in token_ids:
            if not self.is_stopped:
                self.push(token_id)

    def push(self, token_id: int) -> tuple[Delta, ...]:
        """What may be told now; sets `is_stopped` where the answer ends here."""
        self._num_tokens += 1
        was_reasoning, was_words = self._parser.is_reasoning, self._parser.is_in_words
        text = self._detokenizer.push(token_id)
        deltas = self._parser.push(text)
        # The marks around it count as reasoning too, and no mark is one of the words.
        self._num_reasoning_tokens += was_reasoning or self._parser.is_reasoning
        # Nor are the line breaks behind a mark, which are the mark's own.
        is_of_mark = self._parser.is_at_edge and bool(text) and not text.strip("\n")
        self._was_word = was_words and self._parser.is_in_words and not is_of_mark
        return (*self._take_echo(), *self._until_stop(deltas))

    def spell(self, token_id: int, scores: TokenScores) -> tuple[TokenLogprob, ...]:
        """The last token's log probabilities, with tokens by their bytes, as clients are told them.

        There are none for a token of reasoning or of a call.
        """
        if not self._was_word:
            return ()
        return (self._spelt(token_id, scores, is_skipped=self._detokenizer.skips(token_id)),)

    def spell_end(self, token_id: int, scores: TokenScores) -> tuple[TokenLogprob, ...]:
        """Those of the token that ended the answer, in whose text it has no part."""
        return (self._spelt(token_id, scores, is_skipped=True),) if self._tells_end else ()

    def spell_prompt(self, scores: Sequence[TokenScores]) -> Iterator[TokenLogprob]:
        """Those of an echoed prompt: `scores` are of all its tokens but the first. One at a time:
        there may be very many.
        """
        scored = zip(self._echoed_ids, chain((None,), scores), strict=True)
        for at, (token_id, its_scores) in enumerate(scored):
            yield self._spelt(token_id, its_scores, is_skipped=at < self._num_unechoed)

    def _spelt(
        self, token_id: int, scores: TokenScores | None, *, is_skipped: bool
    ) -> TokenLogprob:
        bytes_of = self._tokenizer.token_bytes
        logprob, best = (scores.logprob, scores.top) if scores else (None, ())
        top = tuple(ScoredToken(bytes_of(other), logprob) for other, logprob in best)
        return TokenLogprob(ScoredToken(bytes_of(token_id), logprob), top, is_skipped)

    def flush(self, *, is_cut: bool) -> tuple[Delta, ...]:
        """What was held back, at an end that is the model's own or, `is_cut`, is not."""
        if self.is_stopped:
            return ()
        # What is cut inside a character ends before it; a model that ends there wrote no character.
        unfinished = "" if is_cut else self._detokenizer.flush()
        deltas = (*self._parser.push(unfinished), *self._parser.end(is_cut=is_cut))
        told = (*self._take_echo(), *self._until_stop(deltas))
        return told if self.is_stopped else (*told, *_words(self._scanner.flush()))

    def _take_echo(self) -> tuple[Delta, ...]:
        """The prompt's text, once, before all else: no stop string is looked for in it."""
        echo, self._echo = self._echo, ""
        return _words(echo)

    def _until_stop(self, deltas: Iterable[Delta]) -> tuple[Delta, ...]:
        told: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, TextDelta) and self._has_called:
                self.is_stopped = not delta.text.isspace()
            elif isinstance(delta, TextDelta):
                scan = self._scanner.push(delta.text)
                self.stop_text = scan.matched
                shown_stop = scan.matched if self._includes_stop else None
                told += _words(scan.safe + (shown_stop or ""))
                self.is_stopped = scan.matched is not None
            else:
                told += (*_words(self._scanner.flush()), delta)
                self._has_called |= isinstance(delta, ToolCallEnd)
                self.is_stopped = self._takes_one_call and self._has_called
            if self.is_stopped:
                break
        return tuple(told)


def _words(text: str) -> tuple[Delta, ...]:
    return (TextDelta(text),) if text else ()
