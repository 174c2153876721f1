"""When something was, as it is read now. Times know their distance from UTC, or an hour would be
lost between them as clocks are put forward or back.
"""

from __future__ import annotations

from datetime import UTC, datetime


def local_now() -> datetime:
    return datetime.now(UTC).astimezone()


def local_time(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC).astimezone()


def moment(when: datetime, now: datetime) -> str:
    """Its time, and the day before that where it is another than now."""
    day = "" if when.date() == now.date() else f"{when:%b %d} "
    return f"{day}{when:%H:%M:%S}"
