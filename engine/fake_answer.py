"""One answer of the fake engine: where its tokens come from, and how they become text.

Pure: no sockets and no clock. An answer begun here and resumed elsewhere with the tokens so far
goes on exactly as it would have gone on here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from .answer import AnswerText
from .tokenizer import Tokenizer
from .types import Delta, FinishReason, Prompt, TokenLogprob, TokenScores, Usage

_ALPHABET = "abcdefghijklmnopqrstuvwxyz" + " " * 5 + "\n"
_SHORTEST_ANSWER_TOKENS = 16
_ENDS_ONCE_IN = 96
# A bias of so much decides alone, as it does for a real model.
_DECISIVE_BIAS = 100.0
_ANSWER_START = "<|im_start|>assistant"


class TokenSource(Protocol):
    """Says the next token of an answer, told of every one before it."""

    def next(self) -> int | None:
        """The token that comes next, or None where the answer ends of itself."""
        ...

    def feed(self, token_id: int) -> None:
        """This token has come next."""
        ...


class HashSource:
    """The next token is a hash of the prompt's pictures and of all tokens so far.

    Answers to one prompt differ by their `choice`. It keeps to tokens that a bias demands, away
    from those that one forbids, and ends of itself where the prompt lets it.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt, choice: int = 0) -> None:
        letters = [tokenizer.encode(char)[0] for char in _ALPHABET]
        self._token_ids = _biased(letters, prompt.sampling.logit_bias)
        self._shortest_tokens = max(_SHORTEST_ANSWER_TOKENS, prompt.min_tokens)
        self._can_end = bool(prompt.stop_token_ids)
        self._hash = hashlib.blake2b(digest_size=16)
        for image in prompt.images:
            self._hash.update(image.hash)
        for token_id in prompt.token_ids:
            self._mix(token_id)
        if choice:
            self._hash.update(b"choice %d," % choice)
        self._num_fed = 0

    def next(self) -> int | None:
        digest = self._hash.digest()
        may_end = self._can_end and self._num_fed >= self._shortest_tokens
        if may_end and int.from_bytes(digest[8:], "big") % _ENDS_ONCE_IN == 0:
            return None
        return self._token_ids[int.from_bytes(digest[:8], "big") % len(self._token_ids)]

    def feed(self, token_id: int) -> None:
        self._mix(token_id)
        self._num_fed += 1

    def _mix(self, token_id: int) -> None:
        self._hash.update(b"%d," % token_id)


class ScriptSource:
    """Plays one of the replies: the one whose turn it is by the assistant turns in the prompt.

    Where the answer may not end of itself it is played again.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt, replies: Sequence[str]) -> None:
        begun = _count(prompt.token_ids, tokenizer.encode(_ANSWER_START))
        # The last one begun is the answer itself.
        reply = replies[max(0, begun - 1) % len(replies)]
        self._token_ids = tokenizer.encode(tokenizer.escape(reply))
        self._shortest_tokens = prompt.min_tokens
        self._can_end = bool(prompt.stop_token_ids)
        self._num_fed = 0

    def next(self) -> int | None:
        is_played = self._num_fed >= max(len(self._token_ids), self._shortest_tokens)
        if not self._token_ids or (is_played and self._can_end):
            return None
        return self._token_ids[self._num_fed % len(self._token_ids)]

    def feed(self, token_id: int) -> None:
        self._num_fed += 1


@dataclass(frozen=True, slots=True)
class Made:
    """What one step made."""

    token_ids: tuple[int, ...] = ()
    deltas: tuple[Delta, ...] = ()
    finish: FinishReason | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    stop_text: str | None = None


class Answer:
    """One request from its first token to its end."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Prompt,
        source: TokenSource,
        resume_token_ids: Sequence[int] = (),
    ) -> None:
        self._prompt = prompt
        self._source = source
        self._text = AnswerText(tokenizer, prompt)
        self._told_prompt = bool(resume_token_ids)
        for token_id in resume_token_ids:
            source.feed(token_id)
        self._text.resume(resume_token_ids)

    @property
    def num_tokens(self) -> int:
        return self._text.num_tokens

    def step(self) -> Made:
        """The next token with what it completes, or the end."""
        made = self._step()
        if self._told_prompt or not self._prompt.echo or self._prompt.top_logprobs is None:
            return made
        self._told_prompt = True
        scores = [self._scores(i, at) for at, i in enumerate(self._prompt.token_ids) if at]
        return replace(made, logprobs=(*self._text.spell_prompt(scores), *made.logprobs))

    def _step(self) -> Made:
        text = self._text
        if text.is_stopped:
            return Made(finish="stop", stop_text=text.stop_text)
        if text.num_tokens >= self._prompt.max_tokens:
            return self._end(Made(), self._prompt.limited_by)
        token_id = self._source.next()
        if token_id is None or token_id in self._prompt.stop_token_ids:
            return self._end(Made(), "stop")
        self._source.feed(token_id)
        made = Made((token_id,), text.push(token_id), logprobs=self._logprobs(token_id))
        if text.is_stopped:
            return replace(made, finish="stop", stop_text=text.stop_text)
        if text.num_tokens >= self._prompt.max_tokens:
            return self._end(made, self._prompt.limited_by)
        return made

    def _end(self, made: Made, reason: FinishReason) -> Made:
        """A stop string may lie in what was held back."""
        rest = self._text.flush(is_cut=reason != "stop")
        stop_text = self._text.stop_text
        finish = reason if stop_text is None else "stop"
        return replace(made, deltas=(*made.deltas, *rest), finish=finish, stop_text=stop_text)

    def _logprobs(self, token_id: int) -> tuple[TokenLogprob, ...]:
        if self._prompt.top_logprobs is None:
            return ()
        return self._text.spell(token_id, self._scores(token_id, self._text.num_tokens))

    def _scores(self, token_id: int, place: int) -> TokenScores:
        """Made up, the same each time: the token itself is the best, others follow by one each."""
        count = self._prompt.top_logprobs or 0
        logprob = -((token_id * 31 + place * 17) % 64 + 1) / 64
        others = (other for other in range(count + 1) if other != token_id)
        beside = ((other, logprob - 1 - place) for place, other in enumerate(others))
        return TokenScores(logprob, ((token_id, logprob), *beside)[:count])

    def usage(self) -> Usage:
        return self._text.usage


def _biased(letters: Sequence[int], biases: Sequence[tuple[int, float]]) -> Sequence[int]:
    demanded = [token_id for token_id, bias in biases if bias >= _DECISIVE_BIAS]
    forbidden = {token_id for token_id, bias in biases if bias <= -_DECISIVE_BIAS}
    return demanded or [letter for letter in letters if letter not in forbidden] or letters


def _count(token_ids: Sequence[int], pattern: Sequence[int]) -> int:
    width = len(pattern)
    wanted = tuple(pattern)
    return sum(tuple(token_ids[i : i + width]) == wanted for i in range(len(token_ids)))
