"""How many cells of a terminal a text takes, where terminals agree about it."""

from __future__ import annotations

import unicodedata

# Marks on a letter, and signs that nobody sees.
_WITHOUT_CELL = frozenset({"Mn", "Me", "Cf"})


def num_cells(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def joins_syllable(char: str) -> bool:
    """Whether it is a Korean vowel or final that is drawn into the block before it."""
    return "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7ff"


def _cells_of(char: str) -> int:
    if unicodedata.category(char) in _WITHOUT_CELL or joins_syllable(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
