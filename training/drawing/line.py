"""Single printed lines: any text, a shop's name, or a label with its date or amount."""

from __future__ import annotations

import random

from .book import Book
from .canvas import Canvas, Pen, choose_paper
from .layouts import Align, LineLayout
from .names import shop_name
from .printed import any_cents, any_day, print_date, random_text
from .sizes import CELL_PX, LEAST_PIXELS, choose_frame
from .types import Facts, Picture, Task

_SMALLEST_TEXT_PX = 14.0
_WIDEST_PX = 416


def draw_line(rng: random.Random, book: Book, max_chars: int) -> Picture:
    """One line of at most `max_chars` characters, whatever it says."""
    layout = rng.choice(book.layouts.lines)
    text = ""
    if max_chars >= 8 and rng.random() < 0.2:
        text = _value_facts(rng, book, layout, rng.choice(("date", "total", "who"))).lines[0]
    if not text or len(text) > max_chars:
        text = random_text(rng, book.scraps, max_chars)
    return print_line(rng, book, layout.align, Facts((text,)))


def draw_value_line(rng: random.Random, book: Book, value: Task) -> Picture:
    """A line that says one thing: its "date", its "total" or "who" it is from."""
    layout = rng.choice(book.layouts.lines)
    return print_line(rng, book, layout.align, _value_facts(rng, book, layout, value))


def print_line(rng: random.Random, book: Book, align: Align, facts: Facts) -> Picture:
    """Print the one line of `facts` on a sheet that fits it."""
    text = facts.lines[0]
    face = book.shelf.pick_face(rng)
    size_px = rng.uniform(15, 24) if rng.random() < 0.9 else rng.uniform(24, 34)
    wide = book.shelf.sized(face, 20).width(text) / 20
    size_px = max(_SMALLEST_TEXT_PX, min(size_px, (_WIDEST_PX - 8) / wide))
    width, height = _sheet_cells(rng, wide * size_px + 8, size_px)
    frame = choose_frame(rng, width, height)
    canvas = Canvas(book.shelf, frame.width, frame.height, choose_paper(rng))
    pen = _fit(canvas, text, Pen(face, size_px * frame.text_scale))
    spare = max(2.0, frame.width - canvas.measure(text, pen))
    x = {"left": rng.uniform(1, spare - 1), "centre": spare / 2, "right": spare - 2}[align]
    baseline = rng.uniform(0.95 * pen.size_px, frame.height - 0.3 * pen.size_px)
    canvas.write(text, x, baseline, pen)
    return canvas.finish(facts, "line")


def _sheet_cells(rng: random.Random, least_width: float, size_px: float) -> tuple[int, int]:
    """A sheet of whole cells: as flat as the text allows, higher, or square."""
    width = -(-int(least_width) // CELL_PX) * CELL_PX
    roll = rng.random()
    if roll < 0.15 and width <= 192:
        side = max(96, width)
        return side, side
    height = CELL_PX if size_px < 24 and roll < 0.6 else 2 * CELL_PX
    width = min(_WIDEST_PX, width + CELL_PX * rng.choice((0, 0, 0, 1, 2)))
    if width * height < LEAST_PIXELS and rng.random() < 0.85:
        height = 2 * CELL_PX
        width = max(width, 4 * CELL_PX)
    return width, height


def _fit(canvas: Canvas, text: str, pen: Pen) -> Pen:
    """The pen, made smaller until hinted advances fit as well."""
    while canvas.measure(text, pen) > canvas.width - 3:
        pen = Pen(pen.face, pen.size_px - 0.5)
    return pen


def _value_facts(rng: random.Random, book: Book, layout: LineLayout, value: Task) -> Facts:
    if value == "who":
        name = shop_name(rng, book.words)
        return Facts((name,), shop=name)
    if value == "date":
        date = print_date(any_day(rng), rng.choice(layout.date_patterns))
        return Facts((f"{rng.choice(layout.date_labels)} {date}".strip(),), date=date)
    total = rng.choice(layout.moneys).print(any_cents(rng, 5))
    return Facts((f"{rng.choice(layout.total_labels)} {total}",), total=total)
