"""Timings on a machine that others use too: one that was disturbed is taken again.

A thread that spins while it waits for its partner makes a busy neighbour cost far more than the
neighbour's share, so a disturbed timing says nothing. It is known by the system's count of how
often this process was made to give way; how many timings were is part of the result.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The system itself interrupts now and then, and briefly.
_MOST_WAYS_GIVEN = 2
_PAUSE_S = 0.05


@dataclass(slots=True)
class Timings:
    """Seconds of one variant's rounds, and how often it had to be taken again."""

    kept_s: list[float] = field(default_factory=list[float])
    num_disturbed: int = 0

    @property
    def median_s(self) -> float:
        return statistics.median(self.kept_s)


def interleaved(
    variants: Mapping[str, Callable[[], object]], *, rounds: int, until_s: float
) -> dict[str, Timings]:
    """Every variant once a round, in turn. Ends early at `until_s` of time.monotonic."""
    timings = {name: Timings() for name in variants}
    for run in variants.values():
        run()  # allocations, first touches
    for _ in range(rounds):
        for name, run in variants.items():
            while time.monotonic() < until_s:
                took_s, gave_way = timed(run)
                if gave_way <= _MOST_WAYS_GIVEN:
                    timings[name].kept_s.append(took_s)
                    break
                timings[name].num_disturbed += 1
                time.sleep(_PAUSE_S)
    return timings


def timed(run: Callable[[], object]) -> tuple[float, int]:
    """Seconds it took, and how often a thread of this process had to give way meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    began_s = time.perf_counter()
    run()
    took_s = time.perf_counter() - began_s
    return took_s, resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before


def ratio(over: Timings, under: Timings) -> float | None:
    """Median of the pairs' ratios; None where the machine was never quiet."""
    pairs = list(zip(over.kept_s, under.kept_s, strict=False))
    return round(statistics.median(a / b for a, b in pairs), 3) if pairs else None


def described(timings: Timings) -> dict[str, Any]:
    kept_ms = [round(s * 1e3, 3) for s in timings.kept_s]
    return {"kept_ms": kept_ms, "disturbed": timings.num_disturbed}
