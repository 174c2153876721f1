"""Receipts: what they say, composed from a layout, and the printing of it.

The sums are true: the total is the sum of the items and of the tax that is printed.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from . import layouts
from .book import Book
from .canvas import Canvas, choose_paper
from .layouts import ReceiptLayout
from .names import address, shop_name
from .printed import Money, any_day, any_phone, any_time, print_date
from .rows import SMALLEST_TEXT_PX, Row, fitted_size, measure, print_block, sheet_for
from .sizes import choose_frame
from .types import Facts, Picture

_LEAST, _MOST = (160, 192), (288, 416)
_LONGEST_NAME = 14
_RATES = (5, 6, 7, 8, 10, 12, 19, 20)
# How often an optional block is left out; a receipt without its shop's name is rare.
_LEFT_OUT, _SHOP_LEFT_OUT = 0.45, 0.08


@dataclass(frozen=True, slots=True)
class _Bill:
    """The numbers of one receipt, in cents, and how they are printed."""

    items: tuple[tuple[str, int, int], ...]  # name, count, price of one
    rate: int | None
    total: int
    money: Money

    @property
    def subtotal(self) -> int:
        return sum(count * each for _, count, each in self.items)


def draw_receipt(
    rng: random.Random,
    book: Book,
    *,
    keep: Collection[layouts.Block] = (),
    leave_out: Collection[layouts.Block] = (),
) -> Picture:
    """A receipt that has the blocks of `keep` and lacks those of `leave_out`."""
    most_items = 5
    while True:
        layout = _pick_layout(rng, book, keep)
        blocks = choose_blocks(rng, layout, keep, leave_out)
        rows, facts = compose(rng, book, layout, blocks, most_items)
        picture = _print(rng, book, layout, rows, facts)
        if picture is not None:
            return picture
        most_items = max(2, most_items - 1)


def _pick_layout(rng: random.Random, book: Book, keep: Collection[layouts.Block]) -> ReceiptLayout:
    """A stall's receipt has no items: only layouts with all that must be kept will do."""
    fitting = [each for each in book.layouts.receipts if set(keep) <= set(each.blocks)]
    return rng.choice(fitting)


def choose_blocks(
    rng: random.Random,
    layout: ReceiptLayout,
    keep: Collection[layouts.Block],
    leave_out: Collection[layouts.Block],
) -> tuple[layouts.Block, ...]:
    chosen: list[layouts.Block] = []
    for block in layout.blocks:
        rate = _SHOP_LEFT_OUT if block == "shop" else _LEFT_OUT
        dropped = block in layout.optional and block not in keep and rng.random() < rate
        if not dropped and block not in leave_out:
            chosen.append(block)
    return tuple(chosen)


def compose(
    rng: random.Random,
    book: Book,
    layout: ReceiptLayout,
    blocks: tuple[layouts.Block, ...],
    most_items: int,
) -> tuple[list[Row], Facts]:
    """The rows of a receipt with these blocks, and what they say."""
    bill = _make_bill(rng, book, layout, blocks, most_items)
    shop = shop_name(rng, book.words)
    shop = shop.upper() if layout.shop_upper else shop
    date = print_date(any_day(rng), rng.choice(layout.date_patterns))
    rows: list[Row] = []
    items: list[tuple[str, str]] = []
    for block in blocks:
        if block == "shop":
            bold = rng.random() < 0.6
            rows.append(Row(shop, align=layout.header, scale=layout.shop_scale, bold=bold))
        elif block == "date":
            rows.append(_date_row(rng, layout, date))
        elif block == "items":
            for row, item in _item_rows(rng, layout, bill):
                rows.append(row)
                items.append(item)
        else:
            rows.extend(_other_rows(rng, book, layout, bill, block))
    facts = Facts(
        lines=tuple(row.text() for row in rows if not row.rule),
        shop=shop if "shop" in blocks else None,
        date=date if "date" in blocks else None,
        total=bill.money.print(bill.total),
        items=tuple(items),
    )
    return rows, facts


def _make_bill(
    rng: random.Random,
    book: Book,
    layout: ReceiptLayout,
    blocks: tuple[layouts.Block, ...],
    most_items: int,
) -> _Bill:
    short = [name for name in book.words.products if len(name) <= _LONGEST_NAME]
    names = rng.sample(short, rng.randint(2, most_items) if "items" in blocks else 1)
    most_cents = rng.choice((999, 2_999, 9_999, 49_999))
    step = rng.choice((1, 5, 10))
    items = tuple(
        (name, rng.choice((1, 1, 2, 3, 4)), rng.randrange(step * 10, most_cents, step))
        for name in names
    )
    rate = rng.choice(_RATES) if "tax" in blocks else None
    subtotal = sum(count * each for _, count, each in items)
    total = subtotal + _tax(subtotal, rate)
    return _Bill(items, rate, total, rng.choice(layout.moneys))


def _tax(subtotal: int, rate: int | None) -> int:
    return 0 if rate is None else round(subtotal * rate / 100)


def _date_row(rng: random.Random, layout: ReceiptLayout, date: str) -> Row:
    text = f"{rng.choice(layout.date_labels)} {date}".strip()
    if not layout.with_time or rng.random() < 0.4:
        return Row(text, align=layout.date_align)
    if layout.date_align == "left" and rng.random() < 0.6:
        return Row(text, any_time(rng))
    return Row(f"{text} {any_time(rng)}", align=layout.date_align)


def _item_rows(
    rng: random.Random, layout: ReceiptLayout, bill: _Bill
) -> list[tuple[Row, tuple[str, str]]]:
    pattern = rng.choice(layout.item_patterns)
    rows: list[tuple[Row, tuple[str, str]]] = []
    for name, count, each in bill.items:
        printed_name = name.upper() if layout.items_upper else name
        left = pattern.format(name=printed_name, count=count)
        amount = bill.money.print(count * each)
        rows.append((Row(left, amount, leader=layout.leader), (printed_name, amount)))
    return rows


def _other_rows(
    rng: random.Random, book: Book, layout: ReceiptLayout, bill: _Bill, block: layouts.Block
) -> list[Row]:
    match block:
        case "rule":
            return [Row(rule=layout.rule)] if layout.rule else []
        case "address":
            return [Row(address(rng, book.words), align=layout.header)]
        case "phone":
            return [Row(any_phone(rng, book.words.phone_patterns), align=layout.header)]
        case "number":
            label = rng.choice(book.words.number_labels)
            return [Row(f"{label} {rng.randint(10, 99999)}", align=layout.header)]
        case "subtotal":
            return [_amount_row(layout, rng.choice(layout.subtotal_labels), bill.subtotal, bill)]
        case "tax":
            label = rng.choice(layout.tax_labels).format(rate=bill.rate)
            return [_amount_row(layout, label, _tax(bill.subtotal, bill.rate), bill)]
        case "total":
            label = rng.choice(layout.total_labels)
            return [
                _amount_row(layout, label, bill.total, bill, layout.total_scale, layout.total_bold)
            ]
        case "payment":
            return _payment_rows(rng, book, layout, bill)
        case _:
            return [Row(rng.choice(book.words.thanks), align="centre")]


def _payment_rows(rng: random.Random, book: Book, layout: ReceiptLayout, bill: _Bill) -> list[Row]:
    """How it was paid: the amount again, or more than it and the change."""
    label = rng.choice(book.words.payments)
    if rng.random() < 0.4:
        given = -(-bill.total // 500) * 500 + rng.choice((0, 500, 1000))
        change = rng.choice(book.words.change_labels)
        return [
            _amount_row(layout, label, given, bill),
            _amount_row(layout, change, given - bill.total, bill),
        ]
    if rng.random() < 0.5:
        return [Row(label, align="centre")]
    return [_amount_row(layout, label, bill.total, bill)]


def _amount_row(
    layout: ReceiptLayout,
    label: str,
    cents: int,
    bill: _Bill,
    scale: float = 1.0,
    bold: bool = False,
) -> Row:
    amount = bill.money.print(cents)
    if layout.amounts == "beside":
        return Row(f"{label} {amount}", align=layout.header, scale=scale, bold=bold)
    return Row(label, amount, scale=scale, bold=bold)


def _print(
    rng: random.Random, book: Book, layout: ReceiptLayout, rows: list[Row], facts: Facts
) -> Picture | None:
    """The receipt as a picture, or None where its text would become too small."""
    block = measure(book.shelf, book.shelf.pick_family(rng), rows, layout.line_gap)
    wish_px = rng.uniform(15, 21)
    width, height = sheet_for(rng, block, wish_px, _LEAST, _MOST)
    frame = choose_frame(rng, width, height)
    canvas = Canvas(book.shelf, frame.width, frame.height, choose_paper(rng))
    wish_px = min(wish_px * frame.text_scale, block.size_in(frame.width - 8, frame.height - 6))
    size_px = fitted_size(canvas, block, wish_px)
    if size_px < SMALLEST_TEXT_PX * frame.text_scale:
        return None
    print_block(rng, canvas, block, size_px)
    return canvas.finish(facts, "receipt")
