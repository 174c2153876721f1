"""Drafts by looking up: what followed the last time that the same few tokens came.

No weights, and a constant time for each token. Answers that quote their prompt, or say again what
they have said, are foreseen; others are mostly left without a draft. What is drafted is a function
of the tokens so far.
"""

from __future__ import annotations

from collections.abc import Iterable

# So many tokens have to be the same before what followed them is expected again.
_ALIKE_TOKENS = 3


class PromptLookup:
    """A drafter (`guesses.py`) over one sequence's own tokens."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        # Behind the last occurrence of so many tokens, by these tokens.
        self._behind: dict[tuple[int, ...], int] = {}
        # The token that is expected next: it is left when something else comes.
        self._source: int | None = None

    def take(self, token_ids: Iterable[int]) -> None:
        tokens, behind, source = self._tokens, self._behind, self._source
        for token_id in token_ids:
            if source is not None:
                source = source + 1 if tokens[source] == token_id else None
            tokens.append(token_id)
            alike = tuple(tokens[-_ALIKE_TOKENS:])
            if source is None:
                source = behind.get(alike)
            behind[alike] = len(tokens)
        self._source = source

    def draft(self, most: int) -> list[int]:
        if self._source is None:
            return []
        drafted = self._tokens[self._source : self._source + most]
        # Behind the last token the draft itself goes on: what comes is repeated.
        period = len(self._tokens) - self._source
        while len(drafted) < most:
            drafted.append(drafted[-period])
        return drafted
