"""The last line: the keys that work now, as many as fit.

Screens come first, help and the end last, in between what only this screen can do before what all
can; what has no room there is in the list of keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.events import Click, Resize
from textual.screen import Screen
from textual.widgets import Static

_GAP = 2
SCREENS, OWN, LAST = "screens", "own", "last"


@dataclass(frozen=True, slots=True)
class Hint:
    """A key as it is shown, what it does, and the key to press for it."""

    shown: str
    says: str
    key: str
    is_enabled: bool = True

    @property
    def num_cells(self) -> int:
        return len(self.shown) + len(self.says) + 1


def fitting(
    screens: Sequence[Hint], middle: Sequence[Hint], last: Sequence[Hint], num_cells: int
) -> list[Hint]:
    """All of them; else the screens as one, where more than half of the middle is lost for their
    names; else fewer of the middle.
    """
    kept, short = list(middle), list(screens)
    half = middle[: (len(middle) + 1) // 2]
    if len(screens) > 1 and _width([*screens, *half, *last]) > num_cells:
        short = [Hint(f"{screens[0].shown}-{screens[-1].shown}", "Screens", "")]
    while kept and _width([*short, *kept, *last]) > num_cells:
        kept.pop()
    return [*short, *kept, *last]


def _width(hints: Sequence[Hint]) -> int:
    return sum(hint.num_cells + _GAP for hint in hints)


def key_of(screen: Screen[Any], id: str) -> str:
    """As it is shown, by what it is called in [keys]; empty where it does nothing now."""
    bindings = (active.binding for active in screen.active_bindings.values())
    return next((screen.app.get_key_display(one) for one in bindings if one.id == id), "")


class KeysLine(Static):
    """A click on a key presses it."""

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._places: list[tuple[range, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, _: Screen[object]) -> None:
        self._show()

    def on_resize(self, _: Resize) -> None:
        self._show()

    def on_click(self, event: Click) -> None:
        for place, key in self._places:
            if event.x in place and key:
                self.app.simulate_key(key)

    def _show(self) -> None:
        parts: dict[str, list[Hint]] = {SCREENS: [], OWN: [], "": [], LAST: []}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.description:
                shown = self.app.get_key_display(binding)
                hint = Hint(shown, binding.description, binding.key, active.enabled)
                kind = binding.group.description if binding.group else ""
                parts[kind if kind in parts else ""].append(hint)
        text, self._places = Text(no_wrap=True, overflow="crop"), []
        theme = self.app.theme_variables
        middle = [*parts[OWN], *parts[""]]
        for hint in fitting(parts[SCREENS], middle, parts[LAST], self.size.width):
            start = len(text) + 1
            text.append(f" {hint.shown}", _style(theme.get("accent", ""), hint))
            text.append(f" {hint.says} ", "" if hint.is_enabled else "dim")
            self._places.append((range(start, len(text)), hint.key))
        self.update(text)


def _style(colour: str, hint: Hint) -> str:
    return f"bold {colour}".replace("ansi_", "") if hint.is_enabled else "dim"
