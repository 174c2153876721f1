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
from .grammars.guide import Allowed, Forced, Free, Guide, Next, Over
from .parsers.reply import CALL, THINK_END
from .stream import Delta, Usage
from .tokenizer import Tokenizer
from .types import FinishReason, Prompt, TokenLogprob, TokenScores

_ALPHABET = "abcdefghijklmnopqrstuvwxyz" + " " * 5 + "\n"
# What is written by preference where a grammar has its say: strings and numbers come to an end.
_FORMAL = _ALPHABET + "0123456789" + '"' * 8 + "{}[]:,-.e+<>/" + "\n" * 4
_SHORTEST_ANSWER_TOKENS = 16
_ENDS_ONCE_IN = 96
# What ends free text inside of a call that is spelt with tags: a line break begins it.
_TAG = "\n</parameter>"
# Now and then anything that is allowed is taken.
_ODD_ONCE_IN = 16
# A bias of so much decides alone, as it does for a real model.
_DECISIVE_BIAS = 100.0
_ANSWER_START = "<|im_start|>assistant"


_ANYTHING = Free(may_end=True)


class TokenSource(Protocol):
    """Says the next token of an answer, told of every one before it."""

    def next(self, coming: Next) -> int | None:
        """The token that comes next, or None where the answer ends of itself."""
        ...

    def feed(self, token_id: int) -> None:
        """This token has come next."""
        ...


class HashSource:
    """The next token is a hash of the prompt's pictures and of all tokens so far.

    Answers to one prompt differ by their `choice`. It keeps to tokens that a bias demands, away
    from those that one forbids, and ends of itself where the prompt lets it, as if it had drawn the
    first of what ends it. Where only some tokens may come it is one of them.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt, choice: int = 0) -> None:
        bias = prompt.sampling.logit_bias
        self._token_ids = _biased(_letters(tokenizer, _ALPHABET), bias)
        self._stop_token_ids = prompt.stop_token_ids
        # A client's stop tokens may be letters: those come once the answer may end, and not before.
        letters = [i for i in self._token_ids if i not in prompt.stop_token_ids]
        self._unending_ids = letters or self._token_ids
        self._min_tokens = prompt.min_tokens
        # The mark of a call comes by itself where calls are bound to be right.
        call_ids = tokenizer.encode(CALL)
        formal = [*_letters(tokenizer, _FORMAL), *(call_ids if len(call_ids) == 1 else ())]
        self._formal_ids = _biased(formal, bias)
        think_end_ids = tokenizer.encode(THINK_END)
        self._think_end_id = think_end_ids[0] if len(think_end_ids) == 1 else None
        self._tag_ids = _letters(tokenizer, _TAG)
        self._num_tag = 0
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

    def next(self, coming: Next) -> int | None:
        digest = self._hash.digest()
        draw, end = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
        match coming:
            case Over():
                return None
            case Forced():
                return coming.token_id
            case Allowed():
                return self._among(coming.mask, draw, is_odd=end % _ODD_ONCE_IN == 0)
            case Free():
                return self._letter(draw, end, may_end=coming.may_end)

    def _letter(self, draw: int, end: int, *, may_end: bool) -> int | None:
        if self._num_fed >= self._shortest_tokens and end % _ENDS_ONCE_IN == 0:
            if may_end and self._can_end:
                return None
            if not may_end and self._think_end_id is not None:
                return self._think_end_id  # words are owed still: it is the reasoning that ends
        letters = self._unending_ids if self._num_fed < self._min_tokens else self._token_ids
        return letters[draw % len(letters)]

    def _among(self, mask: bytearray, draw: int, *, is_odd: bool) -> int | None:
        bits = int.from_bytes(mask, "little")
        if self._num_tag and bits >> self._tag_ids[self._num_tag] & 1:
            return self._tag_ids[self._num_tag]
        may_end = self._num_fed >= self._shortest_tokens
        ends = [token_id for token_id in self._stop_token_ids if bits >> token_id & 1]
        wanted = [*self._formal_ids, *(ends if may_end else ())]
        candidates = [token_id for token_id in wanted if bits >> token_id & 1]
        if is_odd or not candidates:
            everything = [i for i in range(len(mask) * 8) if mask[i >> 3] >> (i & 7) & 1]
            candidates = [i for i in everything if i not in ends] or candidates or ends
        return candidates[draw % len(candidates)]

    def feed(self, token_id: int) -> None:
        self._mix(token_id)
        self._num_fed += 1
        is_next = token_id == self._tag_ids[self._num_tag]
        self._num_tag = self._num_tag + 1 if is_next else int(token_id == self._tag_ids[0])
        self._num_tag %= len(self._tag_ids)

    def _mix(self, token_id: int) -> None:
        self._hash.update(b"%d," % token_id)


class ScriptSource:
    """Plays one of the replies: the one whose turn it is by the assistant turns in the prompt.

    Where the answer may not end of itself it is played again. It is an operator's own: it is played
    as it stands, whatever may come.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt, replies: Sequence[str]) -> None:
        begun = _count(prompt.token_ids, tokenizer.encode(_ANSWER_START))
        # The last one begun is the answer itself.
        reply = replies[max(0, begun - 1) % len(replies)]
        self._token_ids = tokenizer.encode(tokenizer.escape(reply))
        self._shortest_tokens = prompt.min_tokens
        self._can_end = bool(prompt.stop_token_ids)
        self._num_fed = 0

    def next(self, coming: Next) -> int | None:
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
        guide: Guide | None = None,
    ) -> None:
        """`guide` says what may come next, where anything is asked of the answer."""
        self._prompt = prompt
        self._source = source
        self._guide = guide
        self._text = AnswerText(tokenizer, prompt)
        self._told_prompt = bool(resume_token_ids)
        for token_id in resume_token_ids:
            self._feed(token_id)
        self._text.resume(resume_token_ids)

    @property
    def num_tokens(self) -> int:
        return self._text.num_tokens

    def step(self) -> Made:
        """The next token with what it completes, or the end.

        Raises InvalidRequest where no token obeys what is asked of the answer.
        """
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
        coming = _ANYTHING if self._guide is None else self._guide.next()
        token_id = self._source.next(coming)
        if token_id is None or token_id in self._prompt.stop_token_ids:
            drawn = None if isinstance(coming, Over) else self._drawn_end(token_id)
            return self._end(Made(logprobs=self._end_logprobs(drawn)), "stop")
        self._feed(token_id)
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

    def _feed(self, token_id: int) -> None:
        self._source.feed(token_id)
        if self._guide is not None:
            self._guide.take(token_id)

    def _logprobs(self, token_id: int) -> tuple[TokenLogprob, ...]:
        if self._prompt.top_logprobs is None:
            return ()
        return self._text.spell(token_id, self._scores(token_id, self._text.num_tokens))

    def _drawn_end(self, token_id: int | None) -> int | None:
        """Sources that end of themselves name no token for it."""
        return next(iter(self._prompt.stop_token_ids), None) if token_id is None else token_id

    def _end_logprobs(self, token_id: int | None) -> tuple[TokenLogprob, ...]:
        if self._prompt.top_logprobs is None or token_id is None:
            return ()
        return self._text.spell_end(token_id, self._scores(token_id, self._text.num_tokens + 1))

    def _scores(self, token_id: int, place: int) -> TokenScores:
        """Made up, the same each time: the token itself is the best, others follow by one each."""
        count = self._prompt.top_logprobs or 0
        logprob = -((token_id * 31 + place * 17) % 64 + 1) / 64
        others = (other for other in range(count + 1) if other != token_id)
        beside = ((other, logprob - 1 - place) for place, other in enumerate(others))
        return TokenScores(logprob, ((token_id, logprob), *beside)[:count])

    def usage(self) -> Usage:
        return self._text.usage


def _letters(tokenizer: Tokenizer, text: str) -> list[int]:
    return [tokenizer.encode(char)[0] for char in text]


def _biased(letters: Sequence[int], biases: Sequence[tuple[int, float]]) -> Sequence[int]:
    demanded = [token_id for token_id, bias in biases if bias >= _DECISIVE_BIAS]
    forbidden = {token_id for token_id, bias in biases if bias <= -_DECISIVE_BIAS}
    return demanded or [letter for letter in letters if letter not in forbidden] or letters


def _count(token_ids: Sequence[int], pattern: Sequence[int]) -> int:
    width = len(pattern)
    wanted = tuple(pattern)
    return sum(tuple(token_ids[i : i + width]) == wanted for i in range(len(token_ids)))
