"""Lines of columns, for tables of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .cells import num_cells


def align(
    head: Sequence[str], rows: Iterable[Sequence[str]], are_numbers: Sequence[bool] = ()
) -> list[str]:
    """Columns as wide as their widest cell, two spaces between, none at the end.

    Columns of numbers end at their right edge.
    """
    table = [list(head), *(list(row) for row in rows)]
    widths = [max(num_cells(row[column]) for row in table) for column in range(len(head))]
    to_right = (*are_numbers, *(False for _ in head[len(are_numbers) :]))
    return [
        "  ".join(
            _padded(cell, width, to_right=right)
            for cell, width, right in zip(row, widths, to_right, strict=True)
        ).rstrip()
        for row in table
    ]


def _padded(cell: str, width: int, *, to_right: bool) -> str:
    padding = " " * (width - num_cells(cell))
    return padding + cell if to_right else cell + padding
