"""The layouts that cortex-nano is trained on; none may be among those it is judged by."""

from __future__ import annotations

from .formats_training import (
    DASHES,
    DOLLAR,
    DOLLAR_WIDE,
    DOTS,
    EURO,
    EURO_AFTER,
    EURO_WORD,
    EURO_WORD_AFTER,
    PLAIN,
    PLAIN_COMMA,
    POUND,
    POUND_AFTER,
    SLASHES,
    USD,
    WORDS,
)
from .layouts import LabelLayout, Layouts, LineLayout
from .receipts_training import TRAINING_RECEIPTS

_LABELS = (
    LabelLayout(
        name="shelf",
        rows=("product", "price"),
        align="left",
        price_scale=1.7,
        price_bold=True,
        product_upper=False,
        price_labels=("",),
        detail_patterns=("{grams} g",),
        moneys=(DOLLAR, POUND, EURO),
        framed=True,
    ),
    LabelLayout(
        name="tag",
        rows=("product", "detail", "price"),
        align="centre",
        price_scale=1.5,
        price_bold=True,
        product_upper=True,
        price_labels=("",),
        detail_patterns=("{grams} g", "{grams} ml", "No. {code}"),
        moneys=(DOLLAR, EURO_AFTER, PLAIN),
        framed=False,
    ),
    LabelLayout(
        name="weighed",
        rows=("product", "detail", "price"),
        align="left",
        price_scale=1.2,
        price_bold=False,
        product_upper=False,
        price_labels=("Price", "Price:", "PRICE"),
        detail_patterns=("{each} per kg", "{each}/kg"),
        moneys=(DOLLAR, POUND, EURO),
        framed=True,
    ),
    LabelLayout(
        name="offer",
        rows=("price", "product"),
        align="centre",
        price_scale=2.0,
        price_bold=True,
        product_upper=False,
        price_labels=("", "now", "only"),
        detail_patterns=("Art. {code}",),
        moneys=(DOLLAR, EURO, EURO_AFTER, POUND),
        framed=True,
    ),
    LabelLayout(
        name="sticker",
        rows=("product", "price", "detail"),
        align="right",
        price_scale=1.3,
        price_bold=True,
        product_upper=True,
        price_labels=("", "each"),
        detail_patterns=("#{code}", "{grams}g", "SKU {code}"),
        moneys=(PLAIN, PLAIN_COMMA),
        framed=False,
    ),
)

_LINES = (
    LineLayout(
        name="loose",
        align="left",
        date_labels=("Date:", "Date", "DATE:", "", "Issued", "Printed"),
        total_labels=("Total", "TOTAL", "Total:", "Amount due", "Sum", "TOTAL DUE", "Balance due"),
        date_patterns=SLASHES + DASHES + DOTS + WORDS,
        moneys=(DOLLAR, POUND, EURO, EURO_AFTER, EURO_WORD, PLAIN, USD, PLAIN_COMMA),
    ),
    LineLayout(
        name="centred",
        align="centre",
        date_labels=("", "on", "Date"),
        total_labels=("Total", "To pay", "TOTAL:"),
        date_patterns=WORDS + DASHES,
        moneys=(DOLLAR, EURO_WORD_AFTER, POUND_AFTER, DOLLAR_WIDE),
    ),
)

TRAINING_LAYOUTS = Layouts(TRAINING_RECEIPTS, _LABELS, _LINES)
