"""What a peer has done of late: sums by the second, and the waits for first tokens.

It forgets what is older than five minutes, and keeps no more than so many waits. Pure: the clock
comes in with every call and never goes back.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

from ..measure.statistics import percentile

WINDOW_S = 300
# Speeds are told of so long a time.
RATE_S = 5
_MAX_WAITS = 4096

# Tokens that were "read" are those of prompts, once their first token had come; what of the prompts
# that ended was "cached" is told against the "prompted".
Kind = Literal[
    "requests", "errors", "failovers", "evictions", "read", "prompted", "cached", "completed"
]


@dataclass(slots=True)
class _Second:
    at_s: int
    numbers: Counter[Kind] = field(default_factory=Counter[Kind])


class Recent:
    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self._waits: deque[tuple[float, float]] = deque(maxlen=_MAX_WAITS)

    def add(self, now_s: float, kind: Kind, number: int = 1) -> None:
        self._forget(now_s)
        if not self._seconds or self._seconds[-1].at_s != int(now_s):
            self._seconds.append(_Second(int(now_s)))
        self._seconds[-1].numbers[kind] += number

    def waited(self, now_s: float, wait_s: float) -> None:
        """A first token has come, after so long."""
        self._waits.append((now_s, wait_s))

    def number(self, now_s: float, kind: Kind, within_s: int = WINDOW_S) -> int:
        self._forget(now_s)
        first_s = int(now_s) - within_s
        return sum(each.numbers[kind] for each in self._seconds if each.at_s >= first_s)

    def per_second(self, now_s: float, kind: Kind) -> float:
        """Of the last whole seconds: the one that is not over yet would say too little."""
        until_s = int(now_s)
        told = (s for s in reversed(self._seconds) if until_s - RATE_S <= s.at_s < until_s)
        return sum(each.numbers[kind] for each in told) / RATE_S

    def first_token_s(self, now_s: float, share: float) -> float | None:
        """So long were the waits but for the longest ones; None where nobody has waited."""
        waits = [wait_s for at_s, wait_s in self._waits if at_s > now_s - WINDOW_S]
        return percentile(waits, 100 * share) if waits else None

    def _forget(self, now_s: float) -> None:
        while self._seconds and self._seconds[0].at_s < int(now_s) - WINDOW_S:
            self._seconds.popleft()
