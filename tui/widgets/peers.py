"""The table of peers. It draws what it is given, and of that only the cells that changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import DataTable

from cortex.peer.onlooker.pictures import PeerPicture

from ..look import Look
from ..rows import COLUMNS, Cell, row


class PeersTable(DataTable[Text]):
    def __init__(self, look: Look) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, cell_padding=0)
        self._look = look
        self._is_wide: bool | None = None
        self._rows: dict[str, tuple[Cell, ...]] = {}

    @property
    def chosen(self) -> str | None:
        """The node on which the cursor is."""
        nodes = list(self._rows)
        return nodes[self.cursor_row] if 0 <= self.cursor_row < len(nodes) else None

    def show(self, peers: Sequence[PeerPicture], *, is_wide: bool) -> None:
        rows = {peer.node: row(peer, self._look, is_wide=is_wide) for peer in peers}
        if is_wide != self._is_wide:
            self._is_wide = is_wide
            self._make_columns(is_wide)
            self._fill(rows)
        elif list(rows) != list(self._rows):
            self._fill(rows)
        else:
            self._change(rows)

    def _make_columns(self, is_wide: bool) -> None:
        self.clear(columns=True)
        for column in COLUMNS:
            # One cell more stands between two columns.
            num_cells = column.num_cells[is_wide]
            head = column.head.rjust(num_cells) if column.is_number else column.head
            self.add_column(head, width=num_cells + 1, key=column.head)

    def _fill(self, rows: dict[str, tuple[Cell, ...]]) -> None:
        """Whole rows: some came, went or moved. The cursor stays with its peer."""
        chosen = self.chosen
        self.clear()
        for node, cells in rows.items():
            self.add_row(*map(_drawn, cells), key=node)
        self._rows = rows
        if chosen in rows:
            self.move_cursor(row=list(rows).index(chosen))

    def _change(self, rows: dict[str, tuple[Cell, ...]]) -> None:
        for node, cells in rows.items():
            for place, (cell, shown) in enumerate(zip(cells, self._rows[node], strict=True)):
                if cell != shown:
                    self.update_cell(node, COLUMNS[place].head, _drawn(cell))
        self._rows = rows


def _drawn(cell: Cell) -> Text:
    return Text(cell.text, style=cell.style, no_wrap=True)
