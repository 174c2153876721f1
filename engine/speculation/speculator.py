"""Which tokens the answers of one model are computed ahead by, step by step.

Knows sequences, and no tensor. What it decides changes how long answers take, and never a token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from ..sequence import Sequence
from .guesses import Drafter, Foreseen, Guesses, Trust
from .paying import Chance, Choice, Offer, Prices, StepCosts, choices_that_pay

# More are hardly ever all right; of a draft head, which goes on from its own guesses, still fewer.
_MOST_GUESSES = 12
_MOST_FORESEEN = 4
# A long prompt is taken in over some steps, and so are those of many answers: all at once would
# hold up everybody's next token.
_MOST_TAKEN = 4096
# There is memory for the scores of as many rows as sequences may run, and always for so many.
_LEAST_ROWS = 8
# A draft head that is not asked is tried once in so many tokens of an answer, with all that it has
# not read by then in one go; if it would be of use, were it right.
_TRIED_AFTER = 32
# How good a head is taken to be, and how far one guess changes what all answers tell of it.
_FIRST_CHANCE, _OF_ALL = 0.6, 0.05
_SURELY_RIGHT = Offer(Chance(), Chance(1.0, 1))


class ChooseGuesses(Protocol):
    """As `choices_that_pay`."""

    def __call__(self, offers: list[Offer], prices: Prices, most: int) -> list[Choice]: ...


class Head(Protocol):
    """A draft head, as `head.HeadDrafts` is."""

    def draft(self, lengths: Mapping[Sequence, int]) -> dict[Sequence, list[int]]:
        """So many tokens for each that may come behind the next one that is fed to it."""
        ...


class _Considered(NamedTuple):
    """What was looked up for a step, how much of which guesses to compute, and of whom the draft
    head is tried besides.
    """

    looked_up: dict[Sequence, list[int]]
    choices: dict[Sequence, Choice]
    tried: list[Sequence]


_NOTHING = _Considered({}, {}, [])


class Speculator:
    """Ask it for `drafts` before a step, and have it `learn` what the step took."""

    def __init__(
        self,
        make_drafter: Callable[[], Drafter] | None,
        *,
        num_slots: int,
        page_tokens: int,
        head: Head | None = None,
        choose_guesses: ChooseGuesses = choices_that_pay,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without drafters and without a head nothing is ever computed ahead."""
        self._make_drafter = make_drafter
        self._head = head
        self._most_rows = max(num_slots, _LEAST_ROWS)
        self._page_tokens = page_tokens
        self._choose_guesses = choose_guesses
        self._clock = clock
        self._costs = StepCosts()
        self._trust = Trust(_FIRST_CHANCE, _OF_ALL, _OF_ALL)
        self._head_s = 0.0

    def drafts(self, decode: list[Sequence]) -> dict[Sequence, list[int]]:
        """What may come behind the next known token, for those of whom that is to be computed."""
        self._head_s = 0.0
        looked_up, choices, tried = self._considered(decode)
        asked = {s: choice.num_guesses for s, choice in choices.items() if choice.is_foreseen}
        foreseen = self._foresee(len(decode), asked, tried)
        drafts = {
            s: (foreseen if c.is_foreseen else looked_up).get(s, [])[: c.num_guesses]
            for s, c in choices.items()
        }
        return {s: to_come for s, drafted in drafts.items() if (to_come := _to_stop(s, drafted))}

    def waits(self, decode: list[Sequence]) -> bool:
        """Whether the next step of these should not be launched before all that is fed to it is
        known: something is guessed that might pay, or the draft head is to be tried.
        """
        _, choices, tried = self._considered(decode)
        return bool(tried) or any(choice.num_guesses for choice in choices.values())

    def learn(self, num_answers: int, num_drafted: int, seconds: float) -> None:
        """A step that computed nothing but the next tokens of so many answers took so long."""
        head_s, self._head_s = self._head_s, 0.0  # the steps behind that one had none of it
        self._costs.add(num_answers, num_drafted, seconds - head_s)

    def _considered(self, decode: list[Sequence]) -> _Considered:
        most = self._most_rows - len(decode)
        has_drafters = self._make_drafter is not None or self._head is not None
        # Where there is no room nothing is guessed either: of many answers that takes its time.
        if most <= 0 or not has_drafters:
            return _NOTHING
        room = {sequence: self._room(sequence) for sequence in decode}
        looked_up = self._look_up(room)
        offers = [
            Offer(_chance_of(s, looked_up.get(s, [])), self._foreseeable(s, most_of_it))
            for s, most_of_it in room.items()
        ]
        prices = self._costs.prices(len(decode))
        if prices is None:
            return _NOTHING
        choices = dict(zip(decode, self._choose_guesses(offers, prices, most), strict=True))
        might_pay = choices_that_pay([_SURELY_RIGHT], prices, 1)[0].is_foreseen
        tried = [
            s for s, c in choices.items() if might_pay and not c.is_foreseen and _is_to_be_tried(s)
        ]
        return _Considered(looked_up, choices, tried)

    def _room(self, sequence: Sequence) -> int:
        """How many tokens can be computed ahead of an answer now.

        0 where its grammar says one token at a time what may come, or known tokens are still fed.
        """
        is_fed = sequence.num_computed >= len(sequence.tokens) - 1
        if sequence.guided is not None or not is_fed:
            return 0
        # The last token of an answer is drawn and never fed.
        wanted = sequence.max_tokens - sequence.num_answered - 1
        assert sequence.pages is not None
        in_pages = len(sequence.pages.pages) * self._page_tokens - len(sequence.tokens)
        return max(0, min(wanted, in_pages))

    def _look_up(self, room: Mapping[Sequence, int]) -> dict[Sequence, list[int]]:
        """The guesses that cost nothing."""
        found: dict[Sequence, list[int]] = {}
        if self._make_drafter is None:
            return found
        most_taken = _MOST_TAKEN
        for sequence, most in room.items():
            if sequence.guesses is None:
                sequence.guesses = Guesses(self._make_drafter())
            if most:
                num_taken = sequence.guesses.num_taken
                guessed = sequence.guesses.after(sequence.tokens, _MOST_GUESSES, most_taken)
                found[sequence] = _to_stop(sequence, guessed[:most])
                most_taken -= sequence.guesses.num_taken - num_taken
        return found

    def _foreseeable(self, sequence: Sequence, room: int) -> Chance:
        """What the draft head would be good for; after what it said last was held against what
        came.
        """
        if sequence.foreseen is not None:
            sequence.foreseen.hold(sequence.tokens, self._trust)
        if self._head is None or sequence.unread is None:
            return Chance()
        if sequence.foreseen is None:
            sequence.foreseen = Foreseen(self._trust.chance)
        return Chance(sequence.foreseen.trust.chance, min(room, _MOST_FORESEEN))

    def _foresee(
        self, num_answers: int, asked: Mapping[Sequence, int], tried: list[Sequence]
    ) -> dict[Sequence, list[int]]:
        if self._head is None or not (asked or tried):
            return {}
        began_s = self._clock()
        foreseen = self._head.draft({**asked, **dict.fromkeys(tried, 1)})
        self._head_s = self._clock() - began_s
        if not tried:
            self._costs.add_passes(num_answers, max(asked.values()), self._head_s)
        for sequence, token_ids in foreseen.items():
            if sequence.foreseen is not None:
                num_known, is_computed = sequence.num_computed + 1, sequence in asked
                sequence.foreseen.expect(token_ids, num_known, is_computed=is_computed)
        return foreseen


def _chance_of(sequence: Sequence, looked_up: list[int]) -> Chance:
    return Chance(sequence.guesses.trust.chance if sequence.guesses else 0.0, len(looked_up))


def _is_to_be_tried(sequence: Sequence) -> bool:
    unread = sequence.unread
    if unread is None or sequence.guided is not None:
        return False
    return sequence.num_computed - unread.start >= _TRIED_AFTER


def _to_stop(sequence: Sequence, guessed: list[int]) -> list[int]:
    """The guesses before one that would end the answer."""
    stop_token_ids = sequence.prompt.stop_token_ids
    ends = (i for i, token_id in enumerate(guessed) if token_id in stop_token_ids)
    return guessed[: next(ends, len(guessed))]
