"""A screen with a list and, below it, a field that leaves of the list what matches.

What the list is of, and what matches, is the screen's.
"""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from ..frame import Frame
from .framed import FramedScreen


class FilteredScreen(FramedScreen):
    """`SEARCHED` says what can be typed, `wanted` is what has been."""

    SEARCHED: ClassVar[str]

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self.wanted = ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where there is no fleet yet there is nothing to look through."""
        return self.frame.watched.picture is not None

    @property
    def narrowed(self) -> Widget:
        """The list."""
        raise NotImplementedError

    def wanted_changed(self) -> None:
        """Called with each letter."""
        raise NotImplementedError

    def compose_filter(self) -> ComposeResult:
        field = Input(placeholder=self.SEARCHED, id="filter", compact=True)
        field.display = False
        yield field

    def on_mount(self) -> None:
        self.narrowed.focus()

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_clear(self) -> None:
        self.query_one("#filter", Input).clear()
        self._back_to_list()

    async def action_move(self, how: str) -> None:
        await self.narrowed.run_action(how)

    @on(Input.Changed, "#filter")
    def _narrow(self, event: Input.Changed) -> None:
        self.wanted = event.value
        self.wanted_changed()

    @on(Input.Submitted, "#filter")
    def _back_to_list(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = bool(field.value)
        self.narrowed.focus()
