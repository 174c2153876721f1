"""Stop strings in streamed text.

A StopScanner is fed pieces of text as they are made and gives back what may be shown: everything
up to a place where a stop string might be beginning. It knows nothing of tokens; where the pieces
are cut makes no difference to what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scan:
    """`safe` may be shown now. `matched` is the stop string that ended the text, if one did.

    `rest` is what stood behind it.
    """

    safe: str
    matched: str | None = None
    rest: str = ""


class StopScanner:
    """Finds the stop string that is complete first; of several complete at once, the longest.

    Each stop string is matched by Knuth-Morris-Pratt, so the work is a constant number of steps
    per character and stop string, however long or repetitive these are.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        # An empty stop string would end every answer before it begins: it is no stop string.
        self._stops = sorted({s for s in stops if s}, key=len, reverse=True)
        self._borders = [_borders(stop) for stop in self._stops]
        # How many first characters of each stop string the text so far ends with.
        self._lengths = [0] * len(self._stops)
        self._held = ""

    def push(self, text: str) -> Scan:
        """Take the next piece; after a match nothing more may be pushed."""
        buffer = self._held + text
        for end in range(len(self._held) + 1, len(buffer) + 1):
            matched = self._advance(buffer[end - 1])
            if matched is not None:
                self._held = ""
                return Scan(buffer[: end - len(matched)], matched, buffer[end:])
        safe_size = len(buffer) - max(self._lengths, default=0)
        self._held = buffer[safe_size:]
        return Scan(buffer[:safe_size])

    def flush(self) -> str:
        """What was held back, now that no more text will come; another may begin after it."""
        held, self._held = self._held, ""
        self._lengths = [0] * len(self._stops)
        return held

    def _advance(self, char: str) -> str | None:
        matched: str | None = None
        for index, stop in enumerate(self._stops):
            length = self._lengths[index]
            while length and stop[length] != char:
                length = self._borders[index][length - 1]
            if stop[length] == char:
                length += 1
            if length == len(stop):
                matched = matched or stop
                length = self._borders[index][length - 1]
            self._lengths[index] = length
        return matched


def _borders(stop: str) -> list[int]:
    """For each prefix of `stop`, the length of its longest proper prefix that also ends it."""
    borders = [0] * len(stop)
    length = 0
    for index in range(1, len(stop)):
        while length and stop[length] != stop[index]:
            length = borders[length - 1]
        if stop[length] == stop[index]:
            length += 1
        borders[index] = length
    return borders
