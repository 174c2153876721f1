"""How long something has been so, in a byte: ages double from step to step, so that what stands
still is told anew only a few times an hour. Pure.
"""

from __future__ import annotations

import math

_MOST = 40


def told_age(age_s: float) -> int:
    """The step of an age. Step 0 is for those that do not tell it."""
    return min(1 + int(math.log2(max(age_s, 0.0) + 1)), _MOST)


def least_age_s(step: int) -> float | None:
    """The age at the beginning of a step; None where it was not told."""
    return None if step == 0 else 2.0 ** min(step - 1, _MOST) - 1
