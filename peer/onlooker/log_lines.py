"""Lines of a peer's log, as `GET /logs` tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from .reading import Told, long_text, read, text, unix_time

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)


def _level(value: Any) -> Level:
    """A newer peer's word for something worse than we know is an error to us."""
    level = text(value)
    return level if level in LEVELS else "error"


@dataclass(frozen=True, slots=True)
class LogLine:
    """`source` is the part of the program that wrote it; `time_s` is of Unix."""

    time_s: Annotated[float, Told("time", unix_time)]
    level: Annotated[Level, Told(read=_level)]
    source: str
    text: Annotated[str, Told(read=long_text)]


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


def read_log(told: Mapping[str, Any]) -> LogPage:
    """Raises ValueError where no peer can have said that."""
    return read(LogPage, told)


def read_event(name: str, told: Mapping[str, Any]) -> LogLine | Skipped | None:
    """What an event of a log that is followed says; None where that is of no known name.

    Raises ValueError where no peer can have said that.
    """
    match name:
        case "line":
            return read_line(told)
        case "skipped":
            return read(Skipped, told)
        case _:
            return None


def read_line(told: Mapping[str, Any]) -> LogLine:
    """Raises ValueError where no peer can have said that."""
    return read(LogLine, told)
