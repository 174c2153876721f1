"""Lines of peers' logs as people and programs read them. Pure but for the local time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from cortex.peer.onlooker.log_lines import LogLine

SCHEMA = 1
_LONGEST_LEVEL = len("warning")


@dataclass(frozen=True, slots=True)
class PeerLine:
    """`peer` is empty where nobody has said whose it is."""

    peer: str
    line: LogLine


@dataclass(frozen=True, slots=True)
class PeerSkipped:
    """So many lines came too fast to be kept."""

    peer: str
    count: int


def line_text(told: PeerLine | PeerSkipped, *, with_peer: bool, today: date) -> str:
    """A line of another day has its date."""
    whose = f"{told.peer}  " if with_peer else ""
    if isinstance(told, PeerSkipped):
        return f"{whose}… {told.count:,} lines skipped"
    line = told.line
    then = datetime.fromtimestamp(line.time_s)
    at = then.strftime("%H:%M:%S.%f" if then.date() == today else "%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"{at}  {whose}{line.level:<{_LONGEST_LEVEL}}  {line.source}  {line.text}"


def line_json(told: PeerLine | PeerSkipped) -> dict[str, Any]:
    head = {"schema": SCHEMA, "peer": told.peer or None}
    if isinstance(told, PeerSkipped):
        return head | {"skipped": told.count}
    line = told.line
    return head | {
        "time": line.time_s,
        "level": line.level,
        "source": line.source,
        "text": line.text,
    }
