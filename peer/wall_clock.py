"""The clock on the wall of this machine, which tells people the date."""

from __future__ import annotations

import time


def utc_offset_s(unix_s: float) -> int:
    """How far ahead of UTC it was then."""
    return time.localtime(unix_s).tm_gmtoff


def wall_clock_s(unix_s: float) -> int:
    """Seconds since 1970 as it counts them."""
    return int(unix_s) + utc_offset_s(unix_s)
