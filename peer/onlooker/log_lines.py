"""Lines of a peer's log, as `GET /logs` tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .reading import complete, dict_of, list_of, number, text, whole

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)
_MAX_LINE_CHARS = 8192


@dataclass(frozen=True, slots=True)
class LogLine:
    """`source` is the part of the program that wrote it; `time_s` is of Unix."""

    time_s: float
    level: Level
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """So many lines came too fast to be told."""

    count: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """What a peer remembers of its log. So many lines were `skipped`: they came too fast."""

    peer: str
    skipped: int
    lines: tuple[LogLine, ...]


@complete
def read_log(told: Mapping[str, Any]) -> LogPage:
    """Raises ValueError where no peer can have said that."""
    lines = tuple(read_line(dict_of(line)) for line in list_of(told["lines"]))
    return LogPage(text(told["peer"]), whole(told["skipped"]), lines)


def read_event(name: str, told: Mapping[str, Any]) -> LogLine | Skipped | None:
    """What an event of a log that is followed says; None where that is of no known name.

    Raises ValueError where no peer can have said that.
    """
    match name:
        case "line":
            return read_line(told)
        case "skipped":
            return Skipped(whole(told.get("count")))
        case _:
            return None


@complete
def read_line(told: Mapping[str, Any]) -> LogLine:
    """Raises ValueError where no peer can have said that."""
    level = text(told["level"])
    return LogLine(
        number(told["time"]),
        # A newer peer's word for something worse than we know is an error to us.
        level if level in LEVELS else "error",
        text(told["source"]),
        text(told["text"], _MAX_LINE_CHARS),
    )
