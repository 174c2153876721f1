"""A table that keeps up with its items: it draws only the cells that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from rich.text import Text
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from ..columns import Cell, Table
from ..look import Look

T = TypeVar("T")


class LiveTable(DataTable[Text], Generic[T]):
    def __init__(self, table: Table[T]) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, cell_padding=0)
        self._table = table
        self._is_wide: bool | None = None
        self._rows: dict[str, tuple[Cell, ...]] = {}

    @property
    def chosen(self) -> str | None:
        """The key of the row on which the cursor is."""
        keys = list(self._rows)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None

    def show(self, items: Sequence[T], look: Look, *, is_wide: bool) -> None:
        """Draw them. The cursor stays with its item, in other columns too, and in its place where
        that is gone; what is seen stays where it is, unless the cursor would leave it.
        """
        table = self._table
        rows = {table.key(item): table.row(item, look, is_wide=is_wide) for item in items}
        if is_wide == self._is_wide and list(rows) == list(self._rows):
            self._change(rows)
            return
        keys, chosen, at, top = list(rows), self.chosen, self.cursor_row, self.scroll_y
        num_seen = self.scrollable_content_region.height - self.header_height
        # Nobody has moved it: what has no watcher scrolls nothing.
        self.set_reactive(DataTable.cursor_coordinate, Coordinate(0, 0))
        if is_wide != self._is_wide:
            self._is_wide = is_wide
            self._make_columns(is_wide)
        self._fill(rows)
        now_at = keys.index(chosen) if chosen in rows else max(min(at, len(keys) - 1), 0)
        self.set_reactive(DataTable.cursor_coordinate, Coordinate(now_at, 0))
        self.scroll_to(y=top, animate=False, immediate=True)
        if top <= at < top + num_seen:
            self.move_cursor(row=now_at)

    def choose(self, key: str) -> None:
        """Move the cursor to a row, where it is there."""
        if key in self._rows:
            self.move_cursor(row=list(self._rows).index(key))

    def _make_columns(self, is_wide: bool) -> None:
        self.clear(columns=True)
        for column in self._table.shown(is_wide=is_wide):
            # One cell more stands between two columns.
            num_cells = column.num_cells[is_wide]
            head = column.head.rjust(num_cells) if column.is_number else column.head
            self.add_column(head, width=num_cells + 1, key=column.head)

    def _fill(self, rows: dict[str, tuple[Cell, ...]]) -> None:
        """Whole rows: some came, went or moved."""
        self.clear()
        for key, cells in rows.items():
            self.add_row(*map(_drawn, cells), key=key)
        self._rows = rows

    def _change(self, rows: dict[str, tuple[Cell, ...]]) -> None:
        columns = self._table.shown(is_wide=bool(self._is_wide))
        for key, cells in rows.items():
            for place, (cell, shown) in enumerate(zip(cells, self._rows[key], strict=True)):
                if cell != shown:
                    self.update_cell(key, columns[place].head, _drawn(cell))
        self._rows = rows


def _drawn(cell: Cell) -> Text:
    return Text(cell.text, style=cell.style, no_wrap=True)
