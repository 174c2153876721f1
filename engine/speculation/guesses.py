"""What is thought to come next in one answer, and how often that was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# Three tokens that were looked up make a stranger trusted, two that were not make it doubted again.
_AT_FIRST = 0.3
_RISE, _FALL = 0.4, 0.3
# A head is right about so many tokens in a hundred, much the same ones all through an answer.
_OF_ANSWER = 0.15


@dataclass(slots=True)
class Trust:
    """How likely the next guess is right, by those before it, the last ones most: `rise` and `fall`
    are how far each of them moves `chance`.
    """

    chance: float
    rise: float
    fall: float

    def hold(self, guessed: Sequence[int], came: Sequence[int]) -> None:
        """Guesses against the tokens that came, up to the first that was wrong."""
        for guess, token_id in zip(guessed, came, strict=False):
            if token_id != guess:
                self.chance -= self.fall * self.chance
                break
            self.chance += self.rise * (1 - self.chance)


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
    and at no cost.
    """

    def __init__(self, drafter: Drafter) -> None:
        self.trust = Trust(_AT_FIRST, _RISE, _FALL)
        self._drafter = drafter
        self.num_taken = 0
        self._next: list[int] = []

    def after(self, tokens: Sequence[int], most: int, most_taken: int) -> list[int]:
        """What may come after all the tokens of a sequence, of which it has seen the first ones.

        Nothing, where more are new than it may take now.
        """
        new = tokens[self.num_taken : self.num_taken + most_taken]
        self.num_taken += len(new)
        self.trust.hold(self._next, new)
        self._drafter.take(new)
        self._next = self._drafter.draft(most) if self.num_taken == len(tokens) else []
        return self._next


class Foreseen:
    """What a draft head said of one answer, on trial; it is asked only now and then."""

    def __init__(self, chance: float) -> None:
        """`chance` is what it has been for others."""
        self.trust = Trust(chance, _OF_ANSWER, _OF_ANSWER)
        self.is_computed = False
        self._next: Sequence[int] = ()
        self._num_known = 0

    def expect(self, token_ids: Sequence[int], num_known: int, *, is_computed: bool) -> None:
        """Thought to come behind so many tokens; computed ahead in this step, or only tried."""
        self._next, self._num_known, self.is_computed = token_ids, num_known, is_computed

    def hold(self, tokens: Sequence[int], trust_of_all: Trust) -> None:
        """What was expected last against all tokens of the sequence, once."""
        came = tokens[self._num_known : self._num_known + len(self._next)]
        for trust in (self.trust, trust_of_all):
            trust.hold(self._next, came)
        self._next, self.is_computed = (), False
