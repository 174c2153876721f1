"""A clock that goes on while the machine sleeps, and that nobody puts back."""

from __future__ import annotations

import time

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
    """Since some moment; differences are what really passed."""
    return time.monotonic() + asleep_s()
