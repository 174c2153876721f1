"""What a person should know of the fleet, for as long as it is likely to be so.

Whoever finds out tells again while it goes on; what nobody tells any more is forgotten.
"""

from __future__ import annotations

MAX_NOTICES = 16
KEPT_S = 3600.0
_MAX_CHARS = 300


class Notices:
    """The newest ones, each once. Their words may come from other peers: they are made harmless."""

    def __init__(self) -> None:
        self._said_s: dict[str, float] = {}

    def add(self, now_s: float, text: str) -> None:
        text = printable(text, _MAX_CHARS)
        self._said_s.pop(text, None)
        self._said_s[text] = now_s
        if len(self._said_s) > MAX_NOTICES:
            del self._said_s[next(iter(self._said_s))]

    def at(self, now_s: float) -> tuple[str, ...]:
        """The oldest first."""
        old = [text for text, said_s in self._said_s.items() if now_s - said_s > KEPT_S]
        for text in old:
            del self._said_s[text]
        return tuple(self._said_s)


def printable(text: str, max_chars: int) -> str:
    """One line that no terminal and no header takes for anything but text."""
    return "".join(char if char.isprintable() else "?" for char in text[:max_chars]).strip()
