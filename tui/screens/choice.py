"""Something that cannot be undone, asked before it is done: nothing happens on the first key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from ..widgets.keys_line import KeysLine, key_of
from .modal import Modal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option(Generic[T]):
    words: str
    value: T


class Choice(Modal[T | None], Generic[T]):
    """One of the options, which may be a single one; None where it is dropped."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Before the list's own, which has no name in [keys] and no word in the line of keys.
        Binding(
            "enter",
            "carry_out",
            "Do it",
            key_display="enter",
            id="choice.carry_out",
            priority=True,
        ),
        Binding("escape", "drop", "Drop it", id="choice.drop"),
        Binding("j", "move('cursor_down')", "Down", id="choice.down", show=False),
        Binding("k", "move('cursor_up')", "Up", id="choice.up", show=False),
    ]

    def __init__(self, title: str, options: Sequence[Option[T]], words: str = "") -> None:
        super().__init__()
        self._title = title
        self._options = tuple(options)
        self._words = words

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = Text(self._title).markup
            if self._words:
                yield Static(self._words, markup=False)
            yield OptionList(*(option.words for option in self._options), markup=False)
            yield Static(id="outlook", markup=False)
        yield KeysLine()

    def on_mount(self) -> None:
        do, drop = key_of(self, "choice.carry_out"), key_of(self, "choice.drop")
        words = f"Nothing is done yet. {do} does it, {drop} drops it."
        self.query_one("#outlook", Static).update(words)

    async def action_move(self, how: str) -> None:
        await self.query_one(OptionList).run_action(how)

    def action_carry_out(self) -> None:
        self.query_one(OptionList).action_select()

    def action_drop(self) -> None:
        self.dismiss(None)

    @on(OptionList.OptionSelected)
    def _carry_out(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._options[event.option_index].value)
