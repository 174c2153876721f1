"""When something was, as it is read now."""

from __future__ import annotations

from datetime import datetime


def moment(when: datetime, now: datetime) -> str:
    """Its time, and the day before that where it is another than now."""
    day = "" if when.date() == now.date() else f"{when:%b %d} "
    return f"{day}{when:%H:%M:%S}"
