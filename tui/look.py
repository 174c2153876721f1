"""How things look: symbols, bars and colours, for terminals with and without block characters.

A state is never a colour alone: symbol and word say it too.
"""

from __future__ import annotations

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
# Orange is worth a look; red needs somebody.
_STYLES: dict[PeerWord, str] = {
    "up": "",
    "loading": "dark_orange",
    "draining": "dark_orange",
    "suspect": "dark_orange",
    "dead": "red",
    "left": "dim",
}
_SOON_FULL, _FULL = 0.7, 0.9


@dataclass(frozen=True, slots=True)
class Look:
    """`refresh_s` is the shortest time from one drawing to the next."""

    refresh_s: float = 1.0
    is_ascii: bool = False

    def symbol(self, state: PeerWord) -> str:
        return _SYMBOLS[state][self.is_ascii]

    def bar(self, share: float, num_cells: int) -> str:
        full, empty = ("#", ".") if self.is_ascii else ("█", "░")
        num_full = round(min(max(share, 0.0), 1.0) * num_cells)
        return full * num_full + empty * (num_cells - num_full)

    @property
    def dot(self) -> str:
        """Stands between things of one line."""
        return " - " if self.is_ascii else " · "


def state_style(state: PeerWord) -> str:
    return _STYLES[state]


def bar_style(share: float) -> str:
    return "red" if share >= _FULL else "dark_orange" if share >= _SOON_FULL else "dodger_blue1"
