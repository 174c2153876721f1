"""Tables of text for a terminal of some width: lists are cut, then columns leave. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from cortex.peer.onlooker.aligning import align
from cortex.peer.onlooker.cells import num_cells


def fitted(
    heads: Iterable[str],
    rows: Iterable[Sequence[str]],
    *,
    width: int | None,
    leave: Iterable[str],
    numbers: Collection[str] = (),
    listing: str = "",
) -> list[str]:
    """Columns go in the order of `leave`, once there is no room for one name of each list in that
    which is called `listing`. Without a `width` nothing is left out.
    """
    table = [*rows]
    columns = {head: tuple(row[at] for row in table) for at, head in enumerate(heads)}
    leaving = [head for head in leave if head in columns]
    lines = _lines(columns, numbers)
    while width is not None and (too_many := max(map(num_cells, lines)) - width) > 0:
        if listing in columns:
            room = max(map(num_cells, columns[listing]), default=0) - too_many
            cut = tuple(as_many_as_fit(cell, room) for cell in columns[listing])
            lines = _lines(columns | {listing: cut}, numbers)
        if max(map(num_cells, lines)) <= width or not leaving:
            break
        del columns[leaving.pop(0)]
        lines = _lines(columns, numbers)
    return lines


def as_many_as_fit(names: str, room: int) -> str:
    """The first of `a, b, c`, one at least, and how many more there are."""
    known = names.split(", ")
    shown, num_more = names, 0
    while num_cells(shown) > room and num_more < len(known) - 1:
        num_more += 1
        shown = ", ".join([*known[:-num_more], f"+{num_more}"])
    return shown


def _lines(columns: dict[str, tuple[str, ...]], numbers: Collection[str]) -> list[str]:
    are_numbers = [head in numbers for head in columns]
    return align([*columns], zip(*columns.values(), strict=True), are_numbers)
