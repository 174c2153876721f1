"""How things look: symbols, bars, lines and colours, for terminals with and without block
characters.

A state is never a colour alone: symbol and word say it too. Blue and orange are told apart by
everybody; red needs somebody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cortex.peer.onlooker.pictures import PeerWord

_SYMBOLS: dict[PeerWord, tuple[str, str]] = {
    "up": ("●", "*"),
    "loading": ("◐", "o"),
    "draining": ("◑", "-"),
    "suspect": ("◌", "?"),
    "dead": ("✕", "x"),
    "left": ("○", "."),
}
_SPARKS = ("▁▂▃▄▅▆▇█", "_.-:=+*#")
_SOON_FULL, _FULL = 0.7, 0.9


@dataclass(frozen=True, slots=True)
class Tones:
    """Styles of cells, for one theme."""

    calm: str = "#4ba3ff"
    second: str = "#7fd3e8"
    third: str = "#b7a8f0"
    worth_a_look: str = "#ff9f1c"
    needs_you: str = "bold #ff6b6b"


DARK = Tones()
LIGHT = Tones("#0055b8", "#0e7c99", "#6a4fc4", "#a85400", "bold #c00020")
# The terminal's own sixteen.
ANSI = Tones("blue", "cyan", "magenta", "yellow", "bold red")


@dataclass(frozen=True, slots=True)
class Look:
    is_ascii: bool = False
    tones: Tones = DARK

    def symbol(self, state: PeerWord) -> str:
        return _SYMBOLS[state][self.is_ascii]

    def state_style(self, state: PeerWord) -> str:
        match state:
            case "up":
                return ""
            case "left":
                return "dim"
            case "dead":
                return self.tones.needs_you
            case _:
                return self.tones.worth_a_look

    def bar(self, share: float, num_cells: int) -> str:
        full, empty = ("#", ".") if self.is_ascii else ("█", "░")
        num_full = round(min(max(share, 0.0), 1.0) * num_cells)
        return full * num_full + empty * (num_cells - num_full)

    def bar_style(self, share: float) -> str:
        if share >= _FULL:
            return self.tones.needs_you
        return self.tones.worth_a_look if share >= _SOON_FULL else self.tones.calm

    def spark(self, values: Sequence[float]) -> str:
        """One character a value, from nothing to the greatest of them."""
        steps, most = _SPARKS[self.is_ascii], max(values, default=0.0)
        if most <= 0:
            return steps[0] * len(values)
        return "".join(steps[round(value / most * (len(steps) - 1))] for value in values)

    @property
    def dot(self) -> str:
        """Stands between things of one line."""
        return " - " if self.is_ascii else " · "
