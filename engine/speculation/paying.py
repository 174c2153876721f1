"""Whether computing drafted tokens ahead pays, how many of them, and whose guesses they are.

A step with drafts takes longer than one without and may give more tokens. How much longer is
measured while answers are made, apart for every number of answers in a step; how many more follows
from how often guesses were right. Guesses that were looked up cost nothing; those of a draft head
take a pass for each token, of all answers that ask for one together. Plain numbers: no torch, no
clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

# By so much the tokens of a second have to become more: measurements are no better than this.
_LEAST_GAIN = 1.03
# What a drafted token is taken to add to a step, and what a pass of a draft head is, as shares of
# the step, until they were measured; and how far a measurement moves what is known, a dear one
# farther than a cheap one is for noise alone.
_FIRST_SHARE, _FIRST_PASS_SHARE = 0.05, 0.1
_LEARNED = 0.25
# The first steps may wait for kernels to be compiled, and on a GPU for a graph that is made at a
# step's second use: beside them drafts would seem free.
_UNUSUAL_STEPS = 2
# Drafts that did not pay are tried again one day: with each step without, a little of what is known
# is forgotten. And after so many steps with drafts there is one without, to be compared with.
_FORGOTTEN = 0.002
_COMPARED_AFTER = 32
# What a step without drafts takes is hardly ever less than it was measured to take, and often more;
# of what took far longer than that, something else was the cause.
_FASTER, _SLOWER = 0.5, 0.1
_MOST_SLOWER = 2.0


@dataclass(frozen=True, slots=True)
class Chance:
    """How likely each guess is right, if those before it were, and how many there are."""

    each: float = 0.0
    num_guesses: int = 0

    @property
    def tokens(self) -> float:
        """How many are expected to be right."""
        return sum(self.each**number for number in range(1, self.num_guesses + 1))

    def first(self, most: int) -> Chance:
        return Chance(self.each, min(self.num_guesses, most))


@dataclass(frozen=True, slots=True)
class Offer:
    """One answer in a step: the guesses that were looked up, and those a draft head would make."""

    looked_up: Chance
    foreseen: Chance = field(default_factory=Chance)


@dataclass(frozen=True, slots=True)
class Choice:
    """So many guesses of one answer are to be computed, of its draft head or looked up."""

    num_guesses: int = 0
    is_foreseen: bool = False


@dataclass(frozen=True, slots=True)
class Prices:
    """What a drafted token adds to a step, and what a pass of the draft head takes, as shares of
    what the step takes without.
    """

    token: float
    head_pass: float = 0.0


def choices_that_pay(offers: Sequence[Offer], prices: Prices, most: int) -> list[Choice]:
    """Which guesses of each answer to compute in a step, `most` in all.

    Without them the step gives a token for each answer and takes 1. For every number of passes that
    the draft head may make, the likeliest guesses come first, as many as make the most tokens in a
    time.
    """
    best_speed, best = len(offers) * _LEAST_GAIN, [Choice()] * len(offers)
    for num_passes in range(1 + max((o.foreseen.num_guesses for o in offers), default=0)):
        chances = [offer.foreseen.first(num_passes) for offer in offers]
        are_foreseen = [c.tokens > o.looked_up.tokens for c, o in zip(chances, offers, strict=True)]
        chances = [
            chance if is_foreseen else offer.looked_up
            for chance, is_foreseen, offer in zip(chances, are_foreseen, offers, strict=True)
        ]
        lengths, speed = _fastest(chances, prices.token, most, 1 + num_passes * prices.head_pass)
        if any(lengths) and speed >= best_speed:
            best_speed = speed
            best = [Choice(n, n > 0 and f) for n, f in zip(lengths, are_foreseen, strict=True)]
    return best


def _fastest(
    chances: Sequence[Chance], share: float, most: int, least_time: float
) -> tuple[list[int], float]:
    """How many guesses of each answer make the most tokens in a time, and how many these are."""
    ranked = sorted(
        (-(chance.each**number), place)
        for place, chance in enumerate(chances)
        for number in range(1, chance.num_guesses + 1)
    )[:most]
    totals = accumulate((-likely for likely, _ in ranked), initial=float(len(chances)))
    speeds = [total / (least_time + share * number) for number, total in enumerate(totals)]
    best = max(range(len(speeds)), key=speeds.__getitem__)
    lengths = [0] * len(chances)
    for _, place in ranked[:best]:
        lengths[place] += 1
    return lengths, speeds[best]


@dataclass(slots=True)
class _Measured:
    plain_s: float = 0.0
    num_plain: int = 0
    share: float = _FIRST_SHARE
    pass_share: float = _FIRST_PASS_SHARE
    was_asked: bool = False
    num_since_plain: int = _COMPARED_AFTER


class StepCosts:
    """What drafts add to the steps of one model on one device."""

    def __init__(self) -> None:
        self._measured: dict[int, _Measured] = {}

    def prices(self, num_answers: int) -> Prices | None:
        """Those of a step of so many answers; None where one without drafts has to be measured
        first, or again.
        """
        known = self._measured.get(num_answers)
        if known is None or known.num_since_plain >= _COMPARED_AFTER:
            return None
        return Prices(known.share, known.pass_share)

    def add_passes(self, num_answers: int, num_passes: int, seconds: float) -> None:
        """For a step of so many answers, whose prices are known, the draft head took so long."""
        known = self._measured[num_answers]
        if known.was_asked:
            measured = min(_MOST_SLOWER, seconds / num_passes / known.plain_s)
            known.pass_share += _LEARNED * (measured - known.pass_share)
        # The first time something may have been compiled.
        known.was_asked = True

    def add(self, num_answers: int, num_drafted: int, seconds: float) -> None:
        """A step took so long, without the draft head."""
        known = self._measured.setdefault(num_answers, _Measured())
        if num_drafted:
            known.num_since_plain += 1
            added = max(0.0, seconds / known.plain_s - 1)
            # No dearer than a step for each: what is beyond that was something else's doing.
            measured = min(1.0, added / num_drafted)
            known.share += _LEARNED * (measured - known.share)
            return
        known.num_plain += 1
        known.share += _FORGOTTEN * (_FIRST_SHARE - known.share)
        known.pass_share += _FORGOTTEN * (_FIRST_PASS_SHARE - known.pass_share)
        if known.num_plain <= _UNUSUAL_STEPS:
            return
        known.num_since_plain = 0
        if known.num_plain == 1 + _UNUSUAL_STEPS:
            known.plain_s = seconds
        rate = _FASTER if seconds < known.plain_s else _SLOWER
        known.plain_s += rate * (min(seconds, _MOST_SLOWER * known.plain_s) - known.plain_s)
