"""Which figures are taken of a fleet of which size, at which loss and from how many seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .absences import absences
from .figures import (
    Measure,
    deaths,
    false_deaths,
    healing,
    memory,
    newcomers,
    news,
    restarts,
    talk,
)

SIZES = (3, 10, 50, 100)
LARGE = 1000


def measures_of(size: int) -> Iterator[tuple[Measure, float, Sequence[int]]]:
    """Small fleets cost little, and chance moves them more: they are tried more often."""
    few = range(1, 8 if size <= 10 else 6 if size <= 50 else 4 if size <= 100 else 2)
    yield deaths, 0.0, few
    yield deaths, 0.1, few
    yield false_deaths, 0.2, few[:1]
    if size <= 100:
        yield false_deaths, 0.3, few[:1]
    yield news, 0.0, few
    yield news, 0.3, few
    yield newcomers, 0.0, few
    yield restarts, 0.0, few
    if size <= 100:  # what a split of a thousand costs to simulate is out of all proportion
        yield healing, 0.0, few[: 3 if size <= 50 else 1]
        yield healing, 0.1, few[: 3 if size <= 50 else 1]
        yield healing, 0.3, few[: 2 if size <= 50 else 1]
    yield talk, 0.0, few[:1]
    if size == SIZES[0]:  # the more there are, the less is anybody alone
        yield absences, 0.0, few
    if size > 10:  # what a core takes alone would count for too much
        yield memory, 0.0, few[:1]
