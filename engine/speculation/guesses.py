"""What is thought to come next in one answer, and how often that was right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

# Three tokens that were foreseen make a stranger trusted, two that were not make it doubted again.
_AT_FIRST = 0.3
_RISE, _FALL = 0.4, 0.3


class Drafter(Protocol):
    """Guesses one answer's next tokens. What it drafts is a function of the tokens so far."""

    def take(self, token_ids: Sequence[int]) -> None:
        """These came next: the prompt's at first, then the answer's."""
        ...

    def draft(self, most: int) -> list[int]:
        """What may come next, so many tokens at most; nothing where nothing is thought to."""
        ...


class Guesses:
    """One answer's drafter on trial: every guess is held against the token that came.

    Whether it was computed ahead or not: so a drafter that is not trusted is tried all the time,
    and at no cost. `chance` is how likely the next guess is right, by those before it, the last
    ones most.
    """

    def __init__(self, drafter: Drafter) -> None:
        self.chance = _AT_FIRST
        self._drafter = drafter
        self.num_taken = 0
        self._next: list[int] = []

    def after(self, tokens: Sequence[int], most: int, most_taken: int) -> list[int]:
        """What may come after all the tokens of a sequence, of which it has seen the first ones.

        Nothing, where more are new than it may take now.
        """
        new = tokens[self.num_taken : self.num_taken + most_taken]
        self.num_taken += len(new)
        for token_id, guess in zip(new, self._next, strict=False):
            if token_id != guess:
                self.chance -= _FALL * self.chance
                break
            self.chance += _RISE * (1 - self.chance)
        self._drafter.take(new)
        self._next = self._drafter.draft(most) if self.num_taken == len(tokens) else []
        return self._next
