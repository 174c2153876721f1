"""Lines of columns, for tables of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def align(
    head: Sequence[str], rows: Iterable[Sequence[str]], are_numbers: Sequence[bool] = ()
) -> list[str]:
    """Columns as wide as their widest cell, two spaces between, none at the end.

    Columns of numbers end at their right edge.
    """
    table = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    to_right = (*are_numbers, *(False for _ in head[len(are_numbers) :]))
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, to_right, strict=True)
        ).rstrip()
        for row in table
    ]
