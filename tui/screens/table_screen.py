"""A screen with a table in it: its filter, its order, its cursor.

What the rows are of, and what stands around the table, is the screen's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import DataTable

from ..columns import Table
from ..frame import Frame
from ..widgets.live_table import LiveTable
from .filtered import FilteredScreen

T = TypeVar("T")


class TableScreen(FilteredScreen, Generic[T]):
    """`draw_body` of a screen calls `draw_table`. `ORDERS` are actions that not every row
    allows.
    """

    WHAT: ClassVar[str]
    ORDERS: ClassVar[frozenset[str]]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", id="table.filter"),
        Binding("s", "sort", "Sort", id="table.sort"),
        Binding("S", "reverse", "Reverse", id="table.reverse", show=False),
        Binding("escape", "clear", "Clear filter", id="table.clear", show=False),
        Binding("j", "move('cursor_down')", "Down", id="table.down", show=False),
        Binding("k", "move('cursor_up')", "Up", id="table.up", show=False),
        Binding("g", "move('scroll_top')", "First", id="table.first", show=False),
        Binding("G", "move('scroll_bottom')", "Last", id="table.last", show=False),
        Binding("c", "copy", "Copy id", id="table.copy", show=False),
    ]

    def __init__(self, frame: Frame, table: Table[T]) -> None:
        super().__init__(frame)
        self.kind = table
        self.table = LiveTable(table)
        self._sort_by: int | None = None
        self._is_reversed = False
        self._to_choose: str | None = None
        self._orders: frozenset[str] = frozenset()
        self._held: Sequence[T] = ()

    def items(self) -> Sequence[T]:
        """All rows there are, as they come."""
        raise NotImplementedError

    def row_changed(self) -> None:
        """Called when the cursor stands elsewhere, and after a key changed what is shown."""

    def id_of(self, item: T) -> str:
        """What is copied of a row."""
        return self.kind.key(item)

    def orders_for(self, item: T) -> frozenset[str]:
        """The actions that could do something to it now; others are no keys."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in self.ORDERS:
            return action in self._orders
        return super().check_action(action, parameters)

    def offer_orders(self) -> None:
        """Those of the row with the cursor; none while there is nobody to give them to."""
        item = self.chosen if self.frame.watched.is_fresh else None
        orders = frozenset[str]() if item is None else self.orders_for(item)
        if orders != self._orders:
            self._orders = orders
            self.refresh_bindings()

    def compose_table(self) -> ComposeResult:
        yield self.table
        yield from self.compose_filter()

    @property
    def narrowed(self) -> Widget:
        return self.table

    @property
    def chosen(self) -> T | None:
        """Of what the row with the cursor is."""
        key = self.table.chosen
        return next((item for item in self._shown_items if self.kind.key(item) == key), None)

    @property
    def _shown_items(self) -> Sequence[T]:
        return self._held if self.is_paused else self.items()

    def choose(self, name: str) -> None:
        """Have the cursor on the first row with that id, now or when there is one."""
        self._to_choose = name
        self.draw()

    def draw_table(self) -> None:
        items = self._shown_items
        found = self.kind.arranged(items, self.wanted, self._sort_by, is_reversed=self._is_reversed)
        self.table.show(found, self.frame.look, is_wide=self.is_wide)
        wanted = next((item for item in found if self.id_of(item) == self._to_choose), None)
        if wanted is not None:
            self.table.choose(self.kind.key(wanted))
            self._to_choose = None
        words = [self.WHAT]
        if self.wanted:
            words.append(f"/ {self.wanted} ({len(found)} of {len(items)})")
        if self._sort_by is not None or self._is_reversed:
            head = "order" if self._sort_by is None else self.kind.columns[self._sort_by].head
            words.append(f"by {head.lower()}{', reversed' if self._is_reversed else ''}")
        self.table.border_title = Text("  ".join(words)).markup

    def action_pause(self) -> None:
        self._held = self.items()
        super().action_pause()

    def wanted_changed(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """What a key changed is seen at once, paused or not: it is about the same picture."""
        if self.frame.watched.picture is not None:
            self.draw_table()
            self.row_changed()

    def action_sort(self) -> None:
        """Through the columns, and back to the order in which they come."""
        order = [None, *range(len(self.kind.columns))]
        self._sort_by = order[(order.index(self._sort_by) + 1) % len(order)]
        self.redraw()

    def action_reverse(self) -> None:
        self._is_reversed = not self._is_reversed
        self.redraw()

    def action_copy(self) -> None:
        if (item := self.chosen) is not None:
            self.app.copy_to_clipboard(self.id_of(item))
            self.notify(f"copied {self.id_of(item)}", markup=False)

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        if self.frame.watched.picture is not None:
            self.row_changed()
