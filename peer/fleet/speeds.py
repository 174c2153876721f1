"""How fast a peer is with each model, in a word that hardly ever changes. Pure; the clock comes in.

Conversations are shared out by it, and one that changes its peer is read anew there: so it counts
in powers of two, goes by the best of the last hours, which others in the same batch do not slow
down, and moves when that has doubled or halved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .rates import Durations

_PERIOD_S = 3600.0
# Fewer say little.
_LEAST_GAPS = 8


@dataclass(slots=True)
class _Speed:
    """Tokens a second of one answer, as powers of two: the best of this period, and of the last one
    that had any. What is `told` goes by `told_best`.
    """

    seen: Durations = field(default_factory=Durations)
    best: float = -math.inf
    best_before: float = -math.inf
    period: int = 0
    told_best: float = -math.inf

    @property
    def told(self) -> int | None:
        return None if self.told_best == -math.inf else round(self.told_best)


class Speeds:
    def __init__(self) -> None:
        self._by_model: dict[str, _Speed] = {}

    def step(self, model_id: str, gaps: Durations, now_s: float) -> int:
        """What is told of it, by all its gaps between tokens so far; 0 where there are too few."""
        speed = self._by_model.setdefault(model_id, _Speed())
        num, sum_s = gaps.num - speed.seen.num, gaps.sum_s - speed.seen.sum_s
        if num >= _LEAST_GAPS and sum_s > 0:
            speed.seen = gaps
            _add(speed, math.log2(num / sum_s), int(now_s // _PERIOD_S))
        return 0 if speed.told is None else speed.told + 1


def _add(speed: _Speed, log_speed: float, period: int) -> None:
    if period != speed.period:
        speed.best_before, speed.best, speed.period = speed.best, -math.inf, period
    speed.best = max(speed.best, log_speed)
    best = max(speed.best, speed.best_before, 0.0)
    if abs(best - speed.told_best) >= 1:
        speed.told_best = best
