"""Rows of text set from top to bottom on one sheet: the shared way to print receipts and labels.

Finds the font size at which all rows fit and a sheet in whole cells that suits it. Does not know
what the rows say.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .canvas import Canvas, Pen
from .fonts import Family, FontShelf
from .layouts import Align
from .sizes import CELL_PX, LEAST_PIXELS, MOST_PIXELS

SMALLEST_TEXT_PX = 14.0
_GAP = 0.8  # least space between the left and the right part of a row, in font sizes
_MEASURE_PX = 20.0


@dataclass(frozen=True, slots=True)
class Row:
    """One printed row: text at `align`, or `left` and `right` at the two edges.

    A rule is a row whose `rule` is a character to repeat, or "line" or "dashes" for a drawn one.
    """

    left: str = ""
    right: str = ""
    align: Align = "left"
    scale: float = 1.0
    bold: bool = False
    leader: str = ""
    rule: str = ""

    def text(self) -> str:
        return f"{self.left} {self.right}".strip()


@dataclass(frozen=True, slots=True)
class Block:
    """Rows with the family they are set in, measured per pixel of font size."""

    rows: tuple[Row, ...]
    family: Family
    line_gap: float
    widest: float
    tallest: float

    def size_in(self, width: float, height: float) -> float:
        """The largest font size at which everything fits."""
        return min(width / self.widest, height / self.tallest)


def measure(shelf: FontShelf, family: Family, rows: Sequence[Row], line_gap: float) -> Block:
    widest = max(_width(shelf, family, row) for row in rows)
    tallest = sum(_height(row, line_gap) for row in rows)
    return Block(tuple(rows), family, line_gap, widest, tallest)


def sheet_for(
    rng: random.Random, block: Block, size_px: float, least: tuple[int, int], most: tuple[int, int]
) -> tuple[int, int]:
    """Sides in whole cells for the block at about this size: snug, roomy or square."""
    width = _cells(block.widest * size_px + 10, least[0], most[0])
    height = _cells(block.tallest * size_px + 8, least[1], most[1])
    width = min(most[0], width + CELL_PX * rng.choice((0, 0, 0, 1)))
    height = min(most[1], height + CELL_PX * rng.choice((0, 0, 0, 1, 3)))
    side = max(width, height)
    if rng.random() < 0.3 and side * side <= MOST_PIXELS:
        width = height = side
    while width * height < LEAST_PIXELS:
        width += CELL_PX
    return width, height


def fitted_size(canvas: Canvas, block: Block, size_px: float, margin: float = 4) -> float:
    """The size, made smaller until every row fits: hinted advances do not scale evenly."""
    while _printed_width(canvas, block, size_px) > canvas.width - 2 * margin:
        size_px -= 0.5
    return size_px


def print_block(rng: random.Random, canvas: Canvas, block: Block, size_px: float) -> None:
    """Print the rows at this size somewhere on the canvas where they fit."""
    spare = (canvas.width - _printed_width(canvas, block, size_px)) / 2
    margin = rng.uniform(3, max(3.5, min(0.12 * canvas.width, spare)))
    stretch = _stretch(rng, canvas.height / (block.tallest * size_px))
    spare = max(0.0, canvas.height - block.tallest * size_px * stretch)
    top = spare * rng.choice((0.5, rng.random()))
    for row in block.rows:
        height = _height(row, block.line_gap) * size_px * stretch
        baseline = top + height / 2 + 0.38 * row.scale * size_px
        _print_row(canvas, block.family, row, size_px, margin, baseline)
        top += height


def _stretch(rng: random.Random, room: float) -> float:
    """How much wider than the layout's own the rows are spaced, where the sheet has room."""
    return rng.uniform(1.0, max(1.0, min(1.5, room))) if rng.random() < 0.5 else 1.0


def _printed_width(canvas: Canvas, block: Block, size_px: float) -> float:
    return max(_row_width(canvas, block.family, row, size_px) for row in block.rows)


def _row_width(canvas: Canvas, family: Family, row: Row, size_px: float) -> float:
    if row.rule:
        return 0.0
    pen = _pen(family, row, size_px)
    gap = _GAP * pen.size_px if row.right else 0.0
    return canvas.measure(row.left + row.right, pen) + gap


def _pen(family: Family, row: Row, size_px: float) -> Pen:
    return Pen(family.bold if row.bold else family.regular, size_px * row.scale)


def _print_row(
    canvas: Canvas, family: Family, row: Row, size_px: float, margin: float, baseline: float
) -> None:
    pen = _pen(family, row, size_px)
    edge = canvas.width - margin
    if row.rule:
        _print_rule(canvas, row.rule, pen, margin, edge, baseline)
        return
    if row.right:
        right_x = edge - canvas.measure(row.right, pen)
        canvas.write(row.left, margin, baseline, pen)
        if row.leader:
            left_end = margin + canvas.measure(row.left, pen)
            _print_leader(canvas, row.leader, pen, left_end, right_x, baseline)
        canvas.write(row.right, right_x, baseline, pen)
        return
    width = canvas.measure(row.left, pen)
    x = {"left": margin, "centre": (canvas.width - width) / 2, "right": edge - width}[row.align]
    canvas.write(row.left, x, baseline, pen)


def _print_rule(
    canvas: Canvas, rule: str, pen: Pen, start: float, end: float, baseline: float
) -> None:
    if rule in ("line", "dashes"):
        dash = end - start if rule == "line" else pen.size_px / 3
        while start < end:
            stop = min(end, start + dash)
            canvas.rule(start, stop, baseline - 0.3 * pen.size_px, max(1.0, pen.size_px / 14))
            start += 1.6 * dash
        return
    count = int((end - start) / canvas.measure(rule, pen))
    canvas.write(rule * count, start, baseline, pen)


def _print_leader(
    canvas: Canvas, leader: str, pen: Pen, start: float, end: float, baseline: float
) -> None:
    step = canvas.measure(leader, pen)
    count = int((end - start - pen.size_px * 0.5) / step)
    if count > 2:
        canvas.write(leader * count, end - pen.size_px * 0.25 - count * step, baseline, pen)


def _width(shelf: FontShelf, family: Family, row: Row) -> float:
    if row.rule:
        return 0.0
    sized = shelf.sized(family.bold if row.bold else family.regular, _MEASURE_PX)
    width = sized.width(row.left + row.right) / _MEASURE_PX
    return (width + (_GAP if row.right else 0.0)) * row.scale


def _height(row: Row, line_gap: float) -> float:
    return (0.8 if row.rule else row.scale) * line_gap


def _cells(needed: float, least: int, most: int) -> int:
    return min(most, max(least, -(-int(needed) // CELL_PX) * CELL_PX))
