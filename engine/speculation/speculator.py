"""Which tokens the answers of one model are computed ahead by, step by step.

Knows sequences, and no tensor. What it decides changes how long answers take, and never a token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..sequence import Sequence
from .guesses import Drafter, Guesses
from .paying import Chance, StepCosts, lengths_that_pay

# More are hardly ever all right.
_MOST_GUESSES = 12
# A long prompt is taken in over some steps, and so are those of many answers: all at once would
# hold up everybody's next token.
_MOST_TAKEN = 4096
# There is memory for the scores of as many rows as sequences may run, and always for so many.
_LEAST_ROWS = 8


class ChooseLengths(Protocol):
    """As `lengths_that_pay`."""

    def __call__(self, chances: list[Chance], share: float, most: int) -> list[int]: ...


class Speculator:
    """Ask it for `drafts` before a step, and have it `learn` what the step took."""

    def __init__(
        self,
        make_drafter: Callable[[], Drafter] | None,
        *,
        num_slots: int,
        page_tokens: int,
        choose_lengths: ChooseLengths = lengths_that_pay,
    ) -> None:
        """Without drafters nothing is ever computed ahead."""
        self._make_drafter = make_drafter
        self._most_rows = max(num_slots, _LEAST_ROWS)
        self._page_tokens = page_tokens
        self._choose_lengths = choose_lengths
        self._costs = StepCosts()

    def drafts(self, decode: list[Sequence]) -> dict[Sequence, list[int]]:
        """What may come behind the next known token, for those of whom that is to be computed."""
        most = self._most_rows - len(decode)
        # Where there is no room nothing is guessed either: of many answers that takes its time.
        if self._make_drafter is None or most <= 0:
            return {}
        guesses: dict[Sequence, list[int]] = {}
        most_taken = _MOST_TAKEN
        for sequence in decode:
            if sequence.guesses is None:
                sequence.guesses = Guesses(self._make_drafter())
            num_taken = sequence.guesses.num_taken
            guesses[sequence] = self._guesses(sequence, sequence.guesses, most_taken)
            most_taken -= sequence.guesses.num_taken - num_taken
        share = self._costs.share(len(decode))
        if share is None or not any(guesses.values()):
            return {}
        chances = [Chance(s.guesses.chance if s.guesses else 0, len(g)) for s, g in guesses.items()]
        lengths = self._choose_lengths(chances, share, most)
        drafts = {s: guesses[s][:length] for s, length in zip(decode, lengths, strict=True)}
        return {sequence: drafted for sequence, drafted in drafts.items() if drafted}

    def learn(self, num_answers: int, num_drafted: int, seconds: float) -> None:
        """A step that computed nothing but the next tokens of so many answers took so long."""
        self._costs.add(num_answers, num_drafted, seconds)

    def _guesses(self, sequence: Sequence, guesses: Guesses, most_taken: int) -> list[int]:
        """All that can be computed ahead of an answer now.

        Nothing where its grammar says one token at a time what may come.
        """
        is_fed = sequence.num_computed == len(sequence.tokens) - 1
        # The last token of an answer is drawn and never fed.
        wanted = sequence.max_tokens - sequence.num_answered - 1
        if sequence.guided is not None or not is_fed or wanted <= 0:
            return []
        guessed = guesses.after(sequence.tokens, _MOST_GUESSES, most_taken)
        assert sequence.pages is not None
        room = len(sequence.pages.pages) * self._page_tokens - len(sequence.tokens)
        stop_token_ids = sequence.prompt.stop_token_ids
        ends = (i for i, token_id in enumerate(guessed) if token_id in stop_token_ids)
        return guessed[: max(0, min(room, wanted, next(ends, len(guessed))))]
