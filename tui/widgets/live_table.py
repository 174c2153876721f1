"""A table that keeps up with its items: it draws only the cells that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from rich.text import Text
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
        """Draw them. The cursor stays with its item, in other columns too."""
        table = self._table
        rows = {table.key(item): table.row(item, look, is_wide=is_wide) for item in items}
        if is_wide == self._is_wide and list(rows) == list(self._rows):
            self._change(rows)
            return
        chosen = self.chosen
        if is_wide != self._is_wide:
            self._is_wide = is_wide
            self._make_columns(is_wide)
        self._fill(rows)
        if chosen is not None:
            self.choose(chosen)

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
