"""The lines of many peers' logs, the newest at the end: which are kept, which are shown. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from cortex.peer.onlooker.log_lines import LEVELS, Level, LogLine

MAX_LINES = 2000


@dataclass(frozen=True, slots=True)
class Entry:
    """A line, or that so many were `skipped` where one should be."""

    at_s: float
    peer: str
    line: LogLine | None
    skipped: int = 0


@dataclass(slots=True)
class LogBook:
    """`least` is the level from which on lines are shown, `wanted` what must be in them; `last_s`
    is when each peer has last logged, by its clock.
    """

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=MAX_LINES))
    least: Level = "info"
    wanted: str = ""
    _fresh: deque[Entry] = field(default_factory=lambda: deque(maxlen=MAX_LINES))
    last_s: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, peer: str, line: LogLine) -> None:
        self.last_s[peer] = line.time_s
        self._fresh.append(Entry(line.time_s, peer, line))

    def skip(self, peer: str, count: int) -> None:
        self._fresh.append(Entry(self.last_s.get(peer, 0.0), peer, None, count))

    def lines_of(self, peer: str) -> set[LogLine]:
        return {e.line for e in (*self.entries, *self._fresh) if e.peer == peer and e.line}

    def turn(self, most: int) -> list[Entry]:
        """Take in what is fresh and give what of it is shown: the last lines, where there are more
        than `most`, behind a word about those left out.
        """
        fresh = sorted(self._fresh, key=lambda entry: entry.at_s)
        shown = [entry for entry in fresh if self.shows(entry)]
        num_left_out = max(len(shown) - most, 0)
        if num_left_out:
            left_out = Entry(0.0, "", None, num_left_out)
            shown = [left_out, *shown[num_left_out:]]
        self.entries.extend(fresh)
        self._fresh.clear()
        return shown

    def shown(self) -> Iterator[Entry]:
        return filter(self.shows, self.entries)

    def shows(self, entry: Entry) -> bool:
        line = entry.line
        if line is None:
            return not self.wanted
        if LEVELS.index(line.level) < LEVELS.index(self.least):
            return False
        text = f"{entry.peer} {line.source} {line.text}".lower()
        return all(word in text for word in self.wanted.lower().split())
