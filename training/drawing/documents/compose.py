"""One document on one sheet: its content laid out, its sheet cut to a shape, printed and worn.

`max_cells` bounds the picture as the model takes it, so that training can begin with small ones.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

from ..book import Book
from ..canvas import Canvas, Paper, choose_paper
from ..fonts import Family
from ..printed import Money
from ..sizes import CELL_PX
from ..types import DocumentKind, Facts, Picture
from . import content
from .blocks import Block, lay_all
from .distort import choose_wear, distort
from .layouts import AMOUNT_PARTS, DocumentLayout
from .sheet import Sheet, Type

# Invoices need about so many; fewer cells are no budget for documents.
LEAST_BUDGET_CELLS = 128
_LEAST_PICTURE_CELLS = 8
_LEAST_ASPECT, _MOST_ASPECT = 1 / 4, 8.0
# Slips are taller than this and strips wider: what stands on them is set as their shape wants it.
_SLIP_ASPECT, _STRIP_ASPECT = 0.45, 5.0
_LONGEST_SIDE_CELLS = 56
# A side with its empty paper, as a part of what is printed on.
_MOST_SPARE, _MOST_SPARE_OF_SLIPS = 2.5, 3.5
# A sheet may be jittered by less than a tenth, which leaves letters of 13 pixels.
_SMALLEST_TEXT_PX = 14.5


def draw_document(
    rng: random.Random,
    book: Book,
    kind: DocumentKind,
    max_cells: int = 1000,
    *,
    priced: Money | None = None,
) -> Picture:
    """A document of this kind that takes at most so many cells, with an amount if in `priced`."""
    assert max_cells >= LEAST_BUDGET_CELLS
    rows = max(2.0, min(14.0, max_cells / 25))
    aspect = _any_aspect(rng)
    rows *= 2 if aspect < _SLIP_ASPECT else 1
    with_optional = 0.6
    layouts = [each for each in book.documents if each.kind == kind]
    if priced:
        layouts = [priced_layout(each, priced) for each in layouts if each.has_amount]
    while True:
        layout = shaped_layout(rng.choice(layouts), aspect)
        paper = choose_paper(rng)
        plate = _draw(rng, book, layout, paper, max_cells, round(rows), with_optional, aspect)
        if plate is not None:
            return distort(rng, plate, choose_wear(rng), paper)
        # Too much for its cells: less of everything, and nearer to a square.
        rows, with_optional, aspect = max(1.0, 0.7 * rows), 0.7 * with_optional, aspect**0.8


def priced_layout(layout: DocumentLayout, money: Money) -> DocumentLayout:
    """The layout with its amounts in this money, and always with the one that it is about."""
    optional = tuple(part for part in layout.optional if part not in AMOUNT_PARTS)
    return replace(layout, moneys=(money,), optional=optional)


def shaped_layout(layout: DocumentLayout, aspect: float) -> DocumentLayout:
    """The layout for a shape: all below each other on a slip, all in a row on a strip."""
    if aspect < _SLIP_ASPECT:
        parts = tuple(name for part in layout.parts for name in part.split("|"))
        return replace(layout, parts=parts, pairs="stacked")
    if aspect > _STRIP_ASPECT:
        parts = (part for part in layout.parts if part not in ("rule", "space"))
        return replace(layout, parts=("|".join(parts),))
    return layout


def _draw(
    rng: random.Random,
    book: Book,
    layout: DocumentLayout,
    paper: Paper,
    max_cells: int,
    most_rows: int,
    with_optional: float,
    aspect: float,
) -> Picture | None:
    page = content.begin(rng, book, layout, rng.randint(1, most_rows))
    blocks = page.blocks(with_optional=with_optional)
    zoom = rng.uniform(1.3, 2.0) if rng.random() < 0.06 else 1.0
    size_px = rng.uniform(_SMALLEST_TEXT_PX, 21) * zoom
    type = Type(book.shelf, _family(rng, book, layout), size_px, layout.line_gap)
    sheet, width, height = _shaped(blocks, type, aspect)
    margin = rng.uniform(0.5, 2.0) * size_px + (0.6 * size_px if layout.window else 0.0)
    cell_px = CELL_PX * zoom
    columns, rows = _cells(
        rng, (width + 2 * margin) / cell_px, (height + 2 * margin) / cell_px, aspect
    )
    if columns * rows > max_cells or max(columns, rows) > _LONGEST_SIDE_CELLS:
        return None
    sides = [_jittered(rng, round(cells * cell_px)) for cells in (columns, rows)]
    canvas = Canvas(book.shelf, sides[0], sides[1], paper.as_plate())
    if layout.window:
        canvas.frame(2, rng.choice((0, 4, 10)), 1)
    spare = (sides[0] - width - 2 * margin, sides[1] - height - 2 * margin)
    dx, dy = (margin + max(0.0, each) * rng.choice((0.0, 0.5, rng.random())) for each in spare)
    sheet.paint(canvas, dx, dy)
    known = (*(fact for block in blocks for fact in block.facts), *page.facts)
    if sheet.is_plain:
        known += content.line_facts(sheet.lines)
    picture = canvas.finish(Facts(tuple(sheet.lines), known=known), layout.kind)
    return replace(picture, family=type.family.name, text_px=size_px)


def _family(rng: random.Random, book: Book, layout: DocumentLayout) -> Family:
    fitting = [
        family
        for family in book.shelf.families
        if not layout.families or any(name in family.name for name in layout.families)
    ]
    return rng.choice(fitting)


def _shaped(blocks: list[Block], type: Type, aspect: float) -> tuple[Sheet, float, float]:
    """The content laid out at the width, of a few, that comes nearest to this shape."""
    least = max(block.least_width(type) for block in blocks)
    tried: list[tuple[Sheet, float, float]] = []
    for stretch in (1.02, 1.4, 2.0):
        sheet, width = Sheet(), least * stretch
        tried.append((sheet, width, lay_all(blocks, sheet, type, 0.0, 0.0, width)))
    return min(tried, key=lambda laid: abs(math.log(laid[1] / laid[2] / aspect)))


def _any_aspect(rng: random.Random) -> float:
    """A shape to come near to: even over the logarithm, the two ends somewhat more often."""
    aspect = math.exp(rng.uniform(math.log(0.9 * _LEAST_ASPECT), math.log(1.1 * _MOST_ASPECT)))
    return min(_MOST_ASPECT, max(_LEAST_ASPECT, aspect))


def _cells(rng: random.Random, width: float, height: float, aspect: float) -> tuple[int, int]:
    """Sides in whole cells; some sheets have empty paper to spare, slips and strips mostly."""
    is_extreme = not _SLIP_ASPECT <= aspect <= _STRIP_ASPECT
    share, most = (0.7, _MOST_SPARE_OF_SLIPS) if is_extreme else (0.25, _MOST_SPARE)
    if rng.random() < share:
        width = max(width, min(most * width, height * aspect))
        height = max(height, min(most * height, width / aspect))
    columns, rows = math.ceil(width), math.ceil(height)
    columns = max(columns, math.ceil(_LEAST_ASPECT * rows), math.ceil(_LEAST_PICTURE_CELLS / rows))
    return columns, max(rows, math.ceil(columns / _MOST_ASPECT))


def _jittered(rng: random.Random, side: int) -> int:
    """A side that is rounded back to the same number of cells, now and then."""
    return side + rng.randint(0, min(CELL_PX // 2 - 1, side // 14)) if rng.random() < 0.3 else side
