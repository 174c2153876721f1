"""A peer's log over HTTP: where it is asked for, and what comes of it line by line."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from urllib.parse import urlencode

from .log_lines import LogLine, Skipped, read_event
from .ordering import Ordering
from .understanding import understood


def log_path(peer: str | None, since_s: float, level: str, **more: str) -> str:
    """`peer` None is the one that is asked."""
    whose = {} if peer is None else {"peer": peer}
    asked = {"since_s": f"{since_s:g}", "level": level, **whose, **more}
    return f"/logs?{urlencode(asked)}"


def follow_log(
    orders: Ordering, peer: str | None, since_s: float, level: str
) -> Generator[LogLine | Skipped]:
    """What there is, and what comes. Raises what the peer refuses with, and NoPeer at its end."""
    for name, told in orders.stream(log_path(peer, since_s, level, follow="1")):
        news = understood(partial(read_event, name), told)
        if news is not None:
            yield news
