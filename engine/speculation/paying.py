"""Whether computing drafted tokens ahead pays, and how many of them.

A step with drafts takes longer than one without and may give more tokens. How much longer is
measured while answers are made, apart for every number of answers in a step; how many more follows
from how often guesses were right. Plain numbers: no torch, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# By so much the tokens of a second have to become more: measurements are no better than this.
_LEAST_GAIN = 1.03
# What a drafted token is taken to add to a step, as a share of it, until it was measured; and how
# far a measurement moves what is known, a dear one farther than a cheap one is for noise alone.
_FIRST_SHARE = 0.05
_LEARNED = 0.25
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
    """One answer in a step: how likely each guess is right, if those before it were, and how many
    there are.
    """

    each: float = 0.0
    num_guesses: int = 0


def lengths_that_pay(chances: Sequence[Chance], share: float, most: int) -> list[int]:
    """How many guesses of each answer to compute in a step, `most` in all.

    Without them the step gives a token for each answer and takes 1; each guess adds `share` to
    that. The likeliest come first, as many as make the most tokens in a time.
    """
    ranked = sorted(
        (-(chance.each**number), place)
        for place, chance in enumerate(chances)
        for number in range(1, chance.num_guesses + 1)
    )[:most]
    least = len(chances) * _LEAST_GAIN
    totals = accumulate((-likely for likely, _ in ranked), initial=float(len(chances)))
    speeds = [total / (1 + share * number) for number, total in enumerate(totals)]
    best = max(range(len(speeds)), key=speeds.__getitem__)
    lengths = [0] * len(chances)
    if speeds[best] >= least:
        for _, place in ranked[:best]:
            lengths[place] += 1
    return lengths


@dataclass(slots=True)
class _Measured:
    plain_s: float = 0.0
    num_plain: int = 0
    share: float = _FIRST_SHARE
    num_since_plain: int = _COMPARED_AFTER


class StepCosts:
    """What drafts add to the steps of one model on one device."""

    def __init__(self) -> None:
        self._measured: dict[int, _Measured] = {}

    def share(self, num_answers: int) -> float | None:
        """What a drafted token adds to a step of so many answers, as a share of what that takes
        without; None where such a step has to be measured first, or again.
        """
        known = self._measured.get(num_answers)
        if known is None or known.num_since_plain >= _COMPARED_AFTER:
            return None
        return known.share

    def add(self, num_answers: int, num_drafted: int, seconds: float) -> None:
        """A step took so long."""
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
        if known.num_plain == 1:
            # It may have waited for kernels to be compiled: beside it drafts would seem free.
            return
        known.num_since_plain = 0
        if known.num_plain == 2:
            known.plain_s = seconds
        rate = _FASTER if seconds < known.plain_s else _SLOWER
        known.plain_s += rate * (min(seconds, _MOST_SLOWER * known.plain_s) - known.plain_s)
