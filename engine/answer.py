"""Tokens of one answer to the text its client gets: whole characters, up to a stop string.

What the real and the fake engine share, so that they cannot differ in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from .stopping import StopScanner
from .tokenizer import Detokenizer, Tokenizer
from .types import Prompt, ScoredToken, TokenLogprob, TokenScores, Usage


class AnswerText:
    """Push every token of the answer in order; nothing more once `is_stopped`."""

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt) -> None:
        self.is_stopped = False
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer)
        self._scanner = StopScanner(prompt.stop)
        self._prompt_tokens = len(prompt.token_ids)
        self._num_tokens = 0

    @property
    def num_tokens(self) -> int:
        return self._num_tokens

    @property
    def usage(self) -> Usage:
        return Usage(self._prompt_tokens, self._num_tokens)

    def resume(self, token_ids: Iterable[int]) -> None:
        """Take tokens whose text the client has already."""
        for token_id in token_ids:
            if not self.is_stopped:
                self.push(token_id)

    def spell(self, token_id: int, scores: TokenScores) -> TokenLogprob:
        """A token's log probabilities with tokens by their bytes, as clients are told them."""
        return TokenLogprob(
            ScoredToken(self._tokenizer.token_bytes(token_id), scores.logprob),
            tuple(ScoredToken(self._tokenizer.token_bytes(i), p) for i, p in scores.top),
        )

    def push(self, token_id: int) -> str:
        """The text that may be shown now; sets `is_stopped` where a stop string is complete."""
        self._num_tokens += 1
        scan = self._scanner.push(self._detokenizer.push(token_id))
        self.is_stopped = scan.matched is not None
        return scan.safe

    def flush(self) -> str:
        """What was held back, at an end that no stop string made."""
        scan = self._scanner.push(self._detokenizer.flush())
        return scan.safe if scan.matched is not None else scan.safe + self._scanner.flush()
