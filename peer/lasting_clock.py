"""Clocks that go on while the machine sleeps, and that nobody puts back."""

from __future__ import annotations

import time
from collections.abc import Callable

# The one that goes on, and the one that does not: Linux's and macOS's.
_CLOCKS = (("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"), ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW"))


def asleep_s() -> float:
    """For how long this machine has slept since it started: a clock that goes on then is ahead of
    the one that every loop has by as much. 0 where there is none.
    """
    for ahead, awake in _CLOCKS:
        if hasattr(time, ahead) and hasattr(time, awake):
            ahead_s, awake_s = map(time.clock_gettime, (getattr(time, ahead), getattr(time, awake)))
            return ahead_s - awake_s
    return 0.0


def lasting_s() -> float:
    """Since some moment, by one clock where there is one that goes on: of two that are put together
    the sum may step back. A virtual machine that is halted with its host, as WSL is, has no clock
    that goes on meanwhile but the people's, which is put right when it wakes: this one stands
    still there for as long.
    """
    for ahead, awake in _CLOCKS:
        if hasattr(time, ahead) and hasattr(time, awake):
            return time.clock_gettime(getattr(time, ahead))
    return time.monotonic()


# No machine is halted for longer; a clock that is put forward by more had never been set.
_MOST_HALTED_S = 365 * 86_400.0


class AmpleClock:
    """For who has to ask for all that was missed: between two looks it goes on by the longer of
    what the lasting clock and the people's say. Where the latter was put forward that is too much.
    """

    def __init__(
        self, lasting_s: Callable[[], float] = lasting_s, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._lasting_s, self._wall_s = lasting_s, wall_s
        self._looked_at = lasting_s(), wall_s()
        self._now_s = 0.0

    def __call__(self) -> float:
        before, self._looked_at = self._looked_at, (self._lasting_s(), self._wall_s())
        lasted_s, by_wall_s = (
            now - then for now, then in zip(self._looked_at, before, strict=True)
        )
        self._now_s += max(lasted_s, min(by_wall_s, _MOST_HALTED_S))
        return self._now_s
