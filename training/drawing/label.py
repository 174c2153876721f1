"""Price labels: a product, its price, and now and then a weight, a unit price or a code."""

from __future__ import annotations

import random

from .book import Book
from .canvas import Canvas, choose_paper
from .layouts import LabelLayout
from .printed import any_cents
from .rows import SMALLEST_TEXT_PX, Row, fitted_size, measure, print_block, sheet_for
from .sizes import choose_frame
from .types import Facts, Picture

_LEAST, _MOST = (96, 64), (256, 160)
_LONGEST_NAME = 16
_LINE_GAP = 1.2
_FRAME_ROOM_PX = 10


def draw_label(rng: random.Random, book: Book) -> Picture:
    """A label whose product and price are known."""
    while True:
        layout = rng.choice(book.layouts.labels)
        rows, facts = compose(rng, book, layout)
        picture = _print(rng, book, layout, rows, facts)
        if picture is not None:
            return picture


def compose(rng: random.Random, book: Book, layout: LabelLayout) -> tuple[list[Row], Facts]:
    product = rng.choice([each for each in book.words.products if len(each) <= _LONGEST_NAME])
    product = product.upper() if layout.product_upper else product
    money = rng.choice(layout.moneys)
    price = money.print(any_cents(rng))
    rows: list[Row] = []
    for row in layout.rows:
        if row == "product":
            rows.append(Row(product, align=layout.align, bold=rng.random() < 0.3))
        elif row == "price":
            text = f"{rng.choice(layout.price_labels)} {price}".strip()
            bold = layout.price_bold
            rows.append(Row(text, align=layout.align, scale=layout.price_scale, bold=bold))
        else:
            detail = rng.choice(layout.detail_patterns).format(
                grams=rng.choice((50, 100, 125, 200, 250, 330, 400, 500, 750)),
                each=money.print(any_cents(rng)),
                code=rng.randint(100, 99999),
            )
            rows.append(Row(detail, align=layout.align))
    facts = Facts(tuple(row.text() for row in rows), product=product, price=price)
    return rows, facts


def _print(
    rng: random.Random, book: Book, layout: LabelLayout, rows: list[Row], facts: Facts
) -> Picture | None:
    block = measure(book.shelf, book.shelf.pick_family(rng), rows, _LINE_GAP)
    wish_px = rng.uniform(15, 23)
    width, height = sheet_for(rng, block, wish_px, _LEAST, _MOST)
    frame = choose_frame(rng, width, height)
    room = _FRAME_ROOM_PX * frame.text_scale if layout.framed else 6
    canvas = Canvas(book.shelf, frame.width, frame.height, choose_paper(rng))
    wish_px = min(wish_px * frame.text_scale, block.size_in(frame.width, frame.height - room))
    size_px = fitted_size(canvas, block, wish_px, room / 2)
    if size_px < SMALLEST_TEXT_PX * frame.text_scale:
        return None
    if layout.framed:
        canvas.frame(1, rng.choice((0, 4, 8)), rng.choice((1, 1, 2)))
    print_block(rng, canvas, block, size_px)
    return canvas.finish(facts, "label")
