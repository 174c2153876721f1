"""The keys that work on a screen, in the words of the settings, with their ids for `[keys]`; and
what the heads of its columns mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from ..keys import KEYS
from ..widgets.keys_line import KeysLine
from .framed import FramedScreen
from .modal import Modal

_TITLES = {"table": "the table", "screen": "the picture", "app": "everywhere"}
_KEY_CELLS, SAYS_CELLS = 12, 44


class KeysList(Modal[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss(None)", "Back", id="keys.back"),
    ]

    def __init__(self, lines: list[Text]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "keys, and what they are called in cortex.toml"
            with VerticalScroll():
                yield Static(Text("\n").join(self._lines))
        yield KeysLine()


def lines_of(app: App[None], screen: Screen[object]) -> list[Text]:
    """What only this screen can do comes first."""
    groups: dict[str, list[Text]] = {"": [], **{title: [] for title in _TITLES.values()}}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.id is not None and binding.id in KEYS and active.enabled:
            title = _TITLES.get(binding.id.partition(".")[0], "")
            groups[title].append(_line(app.get_key_display(binding), binding.id))
    if isinstance(screen, FramedScreen):
        groups["the columns"] = [
            Text(f"{word:<{_KEY_CELLS}}", "bold").append(says, "not bold")
            for word, says in screen.LEGEND.items()
        ]
    return list(_titled(groups))


def _line(shown: str, id: str) -> Text:
    line = Text(f"{shown:<{_KEY_CELLS}}", style="bold", no_wrap=True)
    line.append(f"{KEYS[id].says:<{SAYS_CELLS}} ", style="not bold")
    return line.append(id, style="not bold dim")


def _titled(groups: dict[str, list[Text]]) -> Iterator[Text]:
    for title, lines in groups.items():
        if lines and title:
            yield Text(title, style="italic")
        yield from lines
