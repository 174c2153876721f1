"""The last lines of a peer's log, kept where they can be asked for.

So many lines, so many bytes and so many lines a second are kept, warnings and what is worse counted
apart from the rest, so that a flood of the one does not drown the other; how many lines were passed
over is told with the line behind them. Any thread may log. What stands in a line is decided by
whoever writes it: nothing that a client sent.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from .discretion import is_discreet

_LOGGERS = ("cortex", "aiohttp", "asyncio")
_OURS = "cortex."
# Of one record; a table has as many.
_MAX_LINES = 64
_MAX_TEXT_CHARS = 4000
_MAX_SOURCE_CHARS = 100
# What a line takes beside its letters.
_LINE_BYTES = 200
# A page goes to another peer in one message.
_MAX_PAGE_BYTES = 128 * 1024


class LogLine(Struct, frozen=True):
    """`skipped` is how many lines before this one were passed over."""

    number: int
    time_s: float
    level: str
    source: str
    text: str
    skipped: int = 0

    @property
    def size_bytes(self) -> int:
        return _LINE_BYTES + len(self.text) + len(self.source)


class LogPage(Struct, frozen=True, tag="log"):
    """Some lines, the oldest first. All up to the number `last` have been looked at, and unless it
    `is_last` there are more behind that.
    """

    lines: tuple[LogLine, ...]
    last: int
    is_last: bool
    skipped: int = 0


class LogRing(logging.Handler):
    """`clock` is Unix time."""

    def __init__(
        self,
        max_lines: int = 2000,
        max_bytes: int = 1024 * 1024,
        most_per_s: int = 200,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.addFilter(is_discreet)
        self._lines: deque[LogLine] = deque()
        self._max_lines, self._max_bytes, self._most_per_s = max_lines, max_bytes, most_per_s
        self._num_bytes = 0
        self._clock = clock
        # Numbers go on rising when the peer is started again.
        self._first = self._number = int(clock() * 1000)
        self._second_s = 0
        self._num_in_second: Counter[bool] = Counter()
        self._num_skipped = 0

    @contextmanager
    def listening(self) -> Generator[None]:
        """Keep what is logged meanwhile, for information at least."""
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            if logger.name == "cortex":  # its own from now on, whatever is shown elsewhere
                logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
            logger.addHandler(self)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.removeHandler(self)
                logger.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Called under the handler's lock."""
        is_grave = record.levelno >= logging.WARNING
        if int(record.created) != self._second_s:
            self._second_s = int(record.created)
            self._num_in_second.clear()
        self._num_in_second[is_grave] += 1
        if self._num_in_second[is_grave] > self._most_per_s:
            self._num_skipped += 1
            return
        try:
            texts = _text(record).splitlines()[:_MAX_LINES]
        except Exception:  # its own arguments do not fit it: told as every handler does
            self.handleError(record)
            return
        for text in texts:
            self._number += 1
            self._keep(
                LogLine(
                    self._number,
                    record.created,
                    _level(record.levelno),
                    record.name.removeprefix(_OURS)[:_MAX_SOURCE_CHARS],
                    text[:_MAX_TEXT_CHARS],
                    self._num_skipped,
                )
            )
            self._num_skipped = 0

    def page(self, after: int, since_s: float, level: int, age_s: float | None = None) -> LogPage:
        """The lines behind that number, not older than that, and of that level at least. Who asks
        may have another clock: an age goes by this one.
        """
        if age_s is not None:
            since_s = self._clock() - age_s
        self.acquire()
        try:
            newest = self._number
            if after > newest:  # of a life before, whose clock was ahead of this one's
                after = 0
            lines = [line for line in self._lines if line.number > after]
        finally:
            self.release()
        oldest = lines[0].number if lines else newest + 1
        # Who had lines of this run, and was too slow for the rest.
        skipped = max(oldest - after - 1, 0) if after >= self._first else 0
        return _page(lines, max(after, self._first), skipped, since_s, level)

    def _keep(self, line: LogLine) -> None:
        self._lines.append(line)
        self._num_bytes += line.size_bytes
        while len(self._lines) > self._max_lines or self._num_bytes > self._max_bytes:
            self._num_bytes -= self._lines.popleft().size_bytes


def _page(lines: Sequence[LogLine], last: int, skipped: int, since_s: float, level: int) -> LogPage:
    told: list[LogLine] = []
    num_bytes = 0
    for line in lines:
        is_wanted = line.time_s >= since_s and _LEVELS[line.level] >= level
        if is_wanted and num_bytes + line.size_bytes > _MAX_PAGE_BYTES:
            return LogPage(tuple(told), last, is_last=False, skipped=skipped)
        last = line.number
        if line.time_s >= since_s:
            skipped += line.skipped
        if is_wanted:
            told.append(line)
            num_bytes += line.size_bytes
    return LogPage(tuple(told), last, is_last=True, skipped=skipped)


_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def _level(number: int) -> str:
    return next((name for name in reversed(_LEVELS) if number >= _LEVELS[name]), "debug")


def _text(record: logging.LogRecord) -> str:
    """The message, and of an exception what it was: its stack is on the peer's standard error."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text += f" ({record.exc_info[0].__name__})"
    return text
