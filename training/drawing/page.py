"""Dense pages of unrelated lines, on which the vision tower learns its letters.

They mean nothing and nobody is asked about them: only their glyphs matter.
"""

from __future__ import annotations

import random

from .book import Book
from .canvas import Canvas, Pen, choose_paper
from .documents.distort import choose_wear, distort
from .printed import random_text
from .reshape import choose_shape, plate_width, reshaped
from .types import Facts, Picture


def draw_page(rng: random.Random, book: Book, width: int = 256, height: int = 128) -> Picture:
    """Random text from top to bottom, in one face or a new one for each line; reshaped, worn."""
    paper = choose_paper(rng)
    shape = choose_shape(rng)
    canvas = Canvas(book.shelf, plate_width(width, height, shape), height, paper.as_plate())
    one_face = rng.random() < 0.5
    pen = _any_pen(rng, book)
    baseline = pen.size_px * rng.uniform(0.8, 1.3)
    lines: list[str] = []
    while baseline + 0.25 * pen.size_px < height:
        lines.append(_fill_line(rng, book, canvas, pen, baseline))
        if not one_face:
            pen = _any_pen(rng, book)
        baseline += pen.size_px * rng.uniform(1.1, 1.7)
    plate = canvas.finish(Facts(tuple(line for line in lines if line)), "page")
    return distort(rng, reshaped(plate, shape, width), choose_wear(rng), paper)


def _any_pen(rng: random.Random, book: Book) -> Pen:
    size_px = rng.uniform(13, 22) if rng.random() < 0.85 else rng.uniform(22, 38)
    return Pen(book.shelf.pick_face(rng), size_px)


def _fill_line(rng: random.Random, book: Book, canvas: Canvas, pen: Pen, baseline: float) -> str:
    """Print pieces from left to right with gaps of any width until the line is full."""
    x = rng.uniform(1, 24) if rng.random() < 0.85 else rng.uniform(1, canvas.width * 0.6)
    printed: list[str] = []
    while True:
        text = random_text(rng, book.scraps, 24)
        while text and x + canvas.measure(text, pen) > canvas.width - 1:
            text = text[:-1].rstrip()
        if not text:
            return " ".join(printed)
        canvas.write(text, x, baseline, pen)
        printed.append(text)
        # Mostly as words stand, some far apart: the more letters on a page, the more it teaches.
        widest = 3.0 if rng.random() < 0.2 else 0.6
        x += canvas.measure(text, pen) + pen.size_px * rng.uniform(0.25, widest)
