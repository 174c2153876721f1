"""What a printed thing looks like, as data: order, wordings, formats, alignment, spacing.

A layout never draws itself; `receipt.py` and `label.py` do. Being plain frozen values, layouts can
be compared and hashed, which is how training and evaluation are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .printed import Money

Align = Literal["left", "centre", "right"]
Block = Literal[
    "shop", "address", "phone", "date", "number", "rule", "items",
    "subtotal", "tax", "total", "payment", "thanks",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReceiptLayout:
    """Blocks from top to bottom; those in `optional` are left out now and then.

    `rule` is a character repeated over the width, "line" or "dashes" for a drawn one, or nothing.
    `item_patterns` know {name} and {count}, `tax_labels` {rate}. Amounts stand in a column at the
    right ("column") or follow their label ("beside").
    """

    name: str
    blocks: tuple[Block, ...]
    optional: tuple[Block, ...]
    header: Align
    shop_scale: float
    shop_upper: bool
    rule: str
    item_patterns: tuple[str, ...]
    items_upper: bool
    leader: str
    moneys: tuple[Money, ...]
    amounts: Literal["column", "beside"]
    total_labels: tuple[str, ...]
    total_scale: float
    total_bold: bool
    subtotal_labels: tuple[str, ...]
    tax_labels: tuple[str, ...]
    date_labels: tuple[str, ...]
    date_patterns: tuple[str, ...]
    date_align: Align
    with_time: bool
    line_gap: float


@dataclass(frozen=True, slots=True)
class LabelLayout:
    """A price label. `rows` go from top to bottom; "price" is the big one.

    `detail_patterns` know {grams}, {each} (an amount) and {code}.
    """

    name: str
    rows: tuple[Literal["product", "price", "detail"], ...]
    align: Align
    price_scale: float
    price_bold: bool
    product_upper: bool
    price_labels: tuple[str, ...]
    detail_patterns: tuple[str, ...]
    moneys: tuple[Money, ...]
    framed: bool


@dataclass(frozen=True, slots=True)
class LineLayout:
    """A single printed line: where it stands, and the wordings of lines that carry one value."""

    name: str
    align: Align
    date_labels: tuple[str, ...]
    total_labels: tuple[str, ...]
    date_patterns: tuple[str, ...]
    moneys: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class Layouts:
    receipts: tuple[ReceiptLayout, ...]
    labels: tuple[LabelLayout, ...]
    lines: tuple[LineLayout, ...]
