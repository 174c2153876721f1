"""The layouts that cortex-nano is judged by. It is never trained on any of them."""

from __future__ import annotations

from .layouts import LabelLayout, Layouts, LineLayout, ReceiptLayout
from .printed import Money

_DOLLAR = Money("$")
_POUND = Money("£")
_EURO = Money("€")
_EURO_AFTER = Money("", " €", ",")
_PLAIN = Money("")

_DATES = ("{d:02}/{m:02}/{y}", "{y}-{m:02}-{d:02}", "{d:02}.{m:02}.{y}", "{d} {mon} {y}", "{mon} {d}, {y}")

_RECEIPTS = (
    ReceiptLayout(
        name="corner-shop",
        blocks=("shop", "date", "rule", "items", "rule", "total", "payment"),
        optional=("payment",),
        header="left", shop_scale=1.2, shop_upper=True, rule="-",
        item_patterns=("{name}", "{count} {name}"), items_upper=False, leader="",
        moneys=(_DOLLAR, _POUND), total_labels=("TOTAL", "Total"), total_scale=1.15, total_bold=True,
        subtotal_labels=("SUBTOTAL",), tax_labels=("TAX",), date_labels=("Date:", ""),
        date_patterns=_DATES, date_align="left", with_time=True, line_gap=1.28,
    ),
    ReceiptLayout(
        name="tea-room",
        blocks=("shop", "address", "items", "rule", "subtotal", "tax", "total", "rule", "date"),
        optional=("address", "subtotal", "tax"),
        header="centre", shop_scale=1.25, shop_upper=False, rule="line",
        item_patterns=("{name}", "{count} x {name}"), items_upper=False, leader="",
        moneys=(_EURO, _POUND, _EURO_AFTER), total_labels=("Amount due", "Total:"), total_scale=1.0,
        total_bold=True, subtotal_labels=("Subtotal",), tax_labels=("VAT 7%",), date_labels=("", "Date:"),
        date_patterns=_DATES, date_align="centre", with_time=False, line_gap=1.4,
    ),
    ReceiptLayout(
        name="workshop",
        blocks=("shop", "phone", "number", "date", "items", "subtotal", "tax", "rule", "total", "thanks"),
        optional=("phone", "number", "subtotal", "tax", "thanks"),
        header="right", shop_scale=1.1, shop_upper=False, rule="=",
        item_patterns=("{name}",), items_upper=False, leader="",
        moneys=(_DOLLAR, _PLAIN), total_labels=("Grand total", "Total due"), total_scale=1.1,
        total_bold=False, subtotal_labels=("Sub-total",), tax_labels=("Tax",), date_labels=("Date", "Date:"),
        date_patterns=_DATES, date_align="right", with_time=False, line_gap=1.3,
    ),
    ReceiptLayout(
        name="canteen",
        blocks=("date", "shop", "rule", "items", "total", "thanks"),
        optional=("thanks",),
        header="centre", shop_scale=1.1, shop_upper=True, rule="*",
        item_patterns=("{name}", "{name} x{count}"), items_upper=True, leader=".",
        moneys=(_PLAIN, _EURO, _DOLLAR), total_labels=("TO PAY", "TOTAL:"), total_scale=1.1,
        total_bold=True, subtotal_labels=("SUBTOTAL",), tax_labels=("TAX",), date_labels=("", "DATE"),
        date_patterns=_DATES, date_align="right", with_time=True, line_gap=1.25,
    ),
)  # fmt: skip

_LABELS = (
    LabelLayout(
        name="crate", rows=("product", "price"), align="centre", price_scale=1.8, price_bold=True,
        product_upper=False, price_labels=("",), detail_patterns=("{grams} g",),
        moneys=(_DOLLAR, _POUND, _EURO), framed=False,
    ),
    LabelLayout(
        name="drawer", rows=("product", "detail", "price"), align="right", price_scale=1.4, price_bold=True,
        product_upper=True, price_labels=("",), detail_patterns=("{grams} g", "Ref {code}"),
        moneys=(_DOLLAR, _EURO_AFTER), framed=True,
    ),
    LabelLayout(
        name="window", rows=("price", "product", "detail"), align="left", price_scale=1.6, price_bold=True,
        product_upper=False, price_labels=("", "just"), detail_patterns=("{each} per kg", "{grams} ml"),
        moneys=(_DOLLAR, _POUND, _PLAIN), framed=False,
    ),
)  # fmt: skip

_LINES = (
    LineLayout(
        name="strip", align="left", date_labels=("Date:", "", "Date"),
        total_labels=("TOTAL", "Total", "Amount due"), date_patterns=_DATES,
        moneys=(_DOLLAR, _POUND, _EURO, _PLAIN),
    ),
    LineLayout(
        name="plate", align="centre", date_labels=("", "DATE"), total_labels=("Total:", "To pay"),
        date_patterns=_DATES[:3], moneys=(_DOLLAR, _EURO_AFTER),
    ),
)  # fmt: skip

EVALUATION_LAYOUTS = Layouts(_RECEIPTS, _LABELS, _LINES)
