"""Tables as plain values: which columns, what stands in a cell, which row comes first.

What the rows are of, and widgets, are unknown here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len, set_cell_size

from .look import Look

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """`num_cells` wide on a terminal of 80 columns, and on one of 120; with 0 it is not there.

    `rank` is what rows are sorted by. `stands_out` is of rows that are dimmed otherwise.
    """

    head: str
    num_cells: tuple[int, int]
    cell: Callable[[T, Look, int], Cell]
    rank: Callable[[T], float | str]
    is_number: bool = False
    stands_out: bool = False


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """`key` tells rows apart; `searched` is the text that a filter looks into."""

    columns: tuple[Column[T], ...]
    key: Callable[[T], str]
    searched: Callable[[T], str]
    is_dim: Callable[[T], bool] = lambda _: False

    def shown(self, *, is_wide: bool) -> list[Column[T]]:
        return [column for column in self.columns if column.num_cells[is_wide]]

    def row(self, item: T, look: Look, *, is_wide: bool) -> tuple[Cell, ...]:
        """Numbers end at the right edge."""
        is_dim = self.is_dim(item)
        cells: list[Cell] = []
        for column in self.shown(is_wide=is_wide):
            num_cells = column.num_cells[is_wide]
            cell = column.cell(item, look, num_cells)
            text = cell.text.rjust(num_cells) if column.is_number else cell.text
            cells.append(Cell(text, "dim" if is_dim and not column.stands_out else cell.style))
        return tuple(cells)

    def arranged(
        self, items: Sequence[T], wanted: str, sort_by: int | None, *, is_reversed: bool
    ) -> list[T]:
        """Those that the filter leaves, in the order of a column; else as they come."""
        words = wanted.lower().split()
        found = [
            item for item in items if all(word in self.searched(item).lower() for word in words)
        ]
        if sort_by is not None:
            found.sort(key=self.columns[sort_by].rank)
        return found[::-1] if is_reversed else found


def words_column(head: str, num_cells: tuple[int, int], words: Callable[[T], str]) -> Column[T]:
    """Words, cut where there is no room, by which it is sorted too."""
    return Column(head, num_cells, plain(words), words)


def number_column(
    head: str,
    num_cells: tuple[int, int],
    words: Callable[[T], str],
    rank: Callable[[T], float],
) -> Column[T]:
    return Column(head, num_cells, plain(words), rank, is_number=True)


def plain(words: Callable[[T], str]) -> Callable[[T, Look, int], Cell]:
    return lambda item, look, num_cells: Cell(fit(words(item), num_cells, look))


def fit(text: str, num_cells: int, look: Look) -> str:
    """Cut, and marked as cut."""
    if cell_len(text) <= num_cells:
        return text
    return set_cell_size(text, num_cells - 1) + ("~" if look.is_ascii else "…")
