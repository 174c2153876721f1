"""A screen with a table of what the feed does not tell: it asks for that at each beat, while shown.

What was told last stays, dimmed and with its age, while nobody answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.events import ScreenResume
from textual.widgets import Static

from cortex.engine.errors import CortexError
from cortex.peer.onlooker.pictures import FleetPicture
from cortex.peer.units import age

from ..columns import Table
from ..frame import Frame
from .table_screen import TableScreen

T = TypeVar("T")
Told = TypeVar("Told")


class AskingScreen(TableScreen[T], Generic[T, Told]):
    """`told` is None before the first answer."""

    NOTHING: ClassVar[str]

    def __init__(self, frame: Frame, table: Table[T]) -> None:
        super().__init__(frame, table)
        self.told: Told | None = None
        self._rows: Sequence[T] = ()
        self._told_at = frame.now()
        self._problem: CortexError | None = None
        self._is_asking = False

    async def ask(self) -> Told:
        """Everything that is shown. Raises what the peer refuses with, or NoPeer."""
        raise NotImplementedError

    def rows_of(self, told: Told) -> Sequence[T]:
        raise NotImplementedError

    def details_of(self, item: T) -> str:
        """The row with the cursor in full."""
        raise NotImplementedError

    def compose_body(self) -> ComposeResult:
        yield Static(id="problem", markup=False)
        yield Static(id="nothing", markup=False)
        yield from self.compose_table()
        yield Static(id="detail", markup=False)

    def items(self) -> Sequence[T]:
        return self._rows

    def on_beat(self) -> None:
        if self._is_asking or self.is_paused:
            return
        self._is_asking = True
        self.run_worker(self._ask())

    @on(ScreenResume)
    def _ask_at_once(self) -> None:
        self.on_beat()

    async def _ask(self) -> None:
        try:
            self.told = await self.ask()
            self._told_at, self._problem = self.frame.now(), None
        except CortexError as problem:
            self._problem = problem
        finally:
            self._is_asking = False
        self.draw()

    def draw(self) -> None:
        # Once, for all who look at them: what the feed tells of the fleet counts too.
        self._rows = () if self.told is None else self.rows_of(self.told)
        super().draw()

    def draw_body(self, picture: FleetPicture, now: datetime) -> None:
        self._draw_problem(now)
        has_items = bool(self.items())
        nothing = self.text("#nothing")
        nothing.display = not has_items
        self.table.display = has_items
        if has_items:
            self.draw_table()
        elif self.told is not None:
            nothing.update(self.NOTHING)
        else:
            nothing.update("" if self._problem else "asking the peer...")
        self.row_changed()

    def row_changed(self) -> None:
        panel, item = self.text("#detail"), self.chosen
        panel.display = item is not None
        if item is not None:
            panel.border_title = Text(self.id_of(item)).markup
            panel.update(self.details_of(item))
        self.offer_orders()

    def _draw_problem(self, now: datetime) -> None:
        line, problem = self.text("#problem"), self._problem
        # Where nobody answers at all the banner of the feed says so.
        line.display = problem is not None and self.frame.watched.is_fresh
        for part in (self.table, self.text("#detail")):
            part.set_class(problem is not None, "-stale")
        if problem is not None:
            silent_s = (now - self._told_at).total_seconds()
            since = "" if self.told is None else f" (last data {age(silent_s)} ago)"
            line.update(f" {problem.message}{since}")
