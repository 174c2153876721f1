"""Durations counted in buckets, from which quantiles over many processes can be told.

One ladder of bounds serves every duration here, from a step to a load. Standard library only, and
free to import; who reads the clock, and what is timed, is not known.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

LADDER_S = tuple(
    round(digit * 10.0**power, 3) for power in range(-3, 3) for digit in (1, 2, 5)
)  # 1 ms to 500 s


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram at one moment. `counts` holds a bucket for each bound, which it includes, and one
    for all that lies beyond; `sum_s` is the sum of the durations themselves."""

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


class Histogram:
    """Counts durations. Belongs to one thread; others read a Spread of it."""

    def __init__(self, bounds_s: tuple[float, ...] = LADDER_S) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0

    def add(self, duration_s: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds_s, duration_s)] += times
        self._sum_s += duration_s * times

    @property
    def spread(self) -> Spread:
        return Spread(self._bounds_s, tuple(self._counts), self._sum_s)
