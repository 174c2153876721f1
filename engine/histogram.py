"""Values counted in buckets, from which quantiles over many processes can be told.

Each kind of value has a ladder of bounds of its own, finest where it is mostly found. Standard
library only, and free to import; who reads the clock, and what is timed, is not known.
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
    for all that lies beyond; `sum` is the sum of the values themselves."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


class Histogram:
    """Counts values. Belongs to one thread; others read a Spread of it."""

    def __init__(self, bounds: tuple[float, ...] = LADDER_S) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    @property
    def spread(self) -> Spread:
        return Spread(self._bounds, tuple(self._counts), self._sum)
