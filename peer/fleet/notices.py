"""What a person should know of the fleet, for as long as it is likely to be so.

Whoever finds out tells again while it goes on; what nobody tells any more is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

MAX_NOTICES = 16
# Besides them, of what strangers would have us say.
MAX_HINTS = 4
KEPT_S = 3600.0
_MAX_CHARS = 300


# The topic of what is said of keys that do not fit; that of a foreign fleet is its tag, in hex.
OF_KEYS = "keys"


class Teller(Protocol):
    """Takes what a person should know. The topic is for whoever finds out that it is over."""

    def __call__(self, text: str, topic: str = "") -> None: ...


class Notes(Protocol):
    """Where a person sees what ought to be known of this peer."""

    def note(self, text: str, topic: str = "") -> None: ...

    def forget(self, topic: str) -> None: ...


class _Said(NamedTuple):
    at_s: float
    topic: str
    is_hint: bool


class Notices:
    """The newest ones, each once. Their words may come from other peers: they are made harmless.
    What is told again keeps its place.

    Hints are what nobody has proved: they have places of their own, and push out nothing else.
    """

    def __init__(self) -> None:
        self._said: dict[str, _Said] = {}

    def add(self, now_s: float, text: str, topic: str = "", *, is_hint: bool = False) -> None:
        text = printable(text, _MAX_CHARS)
        self._said[text] = _Said(now_s, topic, is_hint)
        alike = [each for each, said in self._said.items() if said.is_hint is is_hint]
        if len(alike) > (MAX_HINTS if is_hint else MAX_NOTICES):
            del self._said[min(alike, key=lambda each: self._said[each].at_s)]

    def forget(self, topics: Collection[str]) -> None:
        """What was said of these is so no longer."""
        self._said = {text: said for text, said in self._said.items() if said.topic not in topics}

    def at(self, now_s: float) -> tuple[str, ...]:
        """The oldest first."""
        self._said = {text: s for text, s in self._said.items() if now_s - s.at_s <= KEPT_S}
        return tuple(self._said)


def printable(text: str, max_chars: int) -> str:
    """One line that no terminal and no header takes for anything but text."""
    return "".join(char if char.isprintable() else "?" for char in text[:max_chars]).strip()
