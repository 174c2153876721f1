"""The layouts that cortex-nano is trained on. None of them may appear among those it is judged by."""

from __future__ import annotations

from .layouts import LabelLayout, Layouts, LineLayout, ReceiptLayout
from .printed import Money

_DOLLAR = Money("$")
_DOLLAR_WIDE = Money("$ ")
_POUND = Money("£")
_EURO = Money("€")
_EURO_AFTER = Money("", " €", ",")
_EURO_WORD = Money("EUR ")
_EURO_WORD_AFTER = Money("", " EUR", ",")
_PLAIN = Money("")
_PLAIN_COMMA = Money("", "", ",")
_USD = Money("USD ")
_POUND_AFTER = Money("", " GBP")

_SLASHES = ("{d:02}/{m:02}/{y}", "{m:02}/{d:02}/{y}", "{d}/{m}/{y}", "{d:02}/{m:02}/{yy:02}")
_DASHES = ("{y}-{m:02}-{d:02}", "{d:02}-{m:02}-{y}", "{d:02}-{mon}-{y}")
_DOTS = ("{d:02}.{m:02}.{y}", "{d}.{m}.{y}", "{d:02}.{m:02}.{yy:02}")
_WORDS = ("{d} {mon} {y}", "{mon} {d}, {y}", "{month} {d}, {y}", "{d} {month} {y}", "{d:02} {MON} {y}")

_RECEIPTS = (
    ReceiptLayout(
        name="till",
        blocks=("shop", "address", "date", "rule", "items", "rule", "subtotal", "tax", "total", "payment", "thanks"),
        optional=("address", "date", "subtotal", "tax", "payment", "thanks"),
        header="centre", shop_scale=1.15, shop_upper=True, rule="-",
        item_patterns=("{name}", "{count} {name}"), items_upper=False, leader="",
        moneys=(_DOLLAR, _PLAIN, _POUND),
        total_labels=("TOTAL", "TOTAL:", "Total"), total_scale=1.0, total_bold=True,
        subtotal_labels=("SUBTOTAL", "Subtotal"), tax_labels=("TAX", "Tax 8%", "VAT"),
        date_labels=("", "", "Date:"), date_patterns=_SLASHES, date_align="centre", with_time=True,
        line_gap=1.25,
    ),
    ReceiptLayout(
        name="bistro",
        blocks=("shop", "phone", "rule", "date", "items", "rule", "tax", "total", "thanks"),
        optional=("phone", "tax", "thanks", "date"),
        header="centre", shop_scale=1.35, shop_upper=False, rule="line",
        item_patterns=("{count} x {name}", "{name}"), items_upper=False, leader="",
        moneys=(_EURO, _EURO_AFTER, _PLAIN_COMMA),
        total_labels=("Total", "Amount due", "Balance due"), total_scale=1.2, total_bold=True,
        subtotal_labels=("Net",), tax_labels=("VAT 19%", "incl. VAT", "Service"),
        date_labels=("Date:", "Date", ""), date_patterns=_DOTS + _WORDS, date_align="left", with_time=False,
        line_gap=1.35,
    ),
    ReceiptLayout(
        name="kiosk",
        blocks=("shop", "items", "total", "date"),
        optional=("date",),
        header="left", shop_scale=1.0, shop_upper=True, rule="",
        item_patterns=("{name}",), items_upper=True, leader="",
        moneys=(_DOLLAR, _EURO_WORD, _USD, _PLAIN),
        total_labels=("TOTAL", "SUM", "TO PAY"), total_scale=1.0, total_bold=False,
        subtotal_labels=("SUBTOTAL",), tax_labels=("TAX",),
        date_labels=("", "DATE:", "DATE"), date_patterns=_DASHES + _SLASHES, date_align="left", with_time=True,
        line_gap=1.2,
    ),
    ReceiptLayout(
        name="invoice",
        blocks=("shop", "address", "number", "date", "rule", "items", "subtotal", "tax", "rule", "total"),
        optional=("address", "number", "subtotal", "tax", "date"),
        header="left", shop_scale=1.3, shop_upper=False, rule="line",
        item_patterns=("{name}", "{name} x{count}"), items_upper=False, leader="",
        moneys=(_DOLLAR, _DOLLAR_WIDE, _POUND, _USD),
        total_labels=("Amount due", "Total due", "Invoice total", "Total"), total_scale=1.1, total_bold=True,
        subtotal_labels=("Subtotal", "Net amount"), tax_labels=("VAT 20%", "Sales tax", "Tax"),
        date_labels=("Date:", "Invoice date:", "Issued"), date_patterns=_WORDS + _DASHES, date_align="left",
        with_time=False, line_gap=1.3,
    ),
    ReceiptLayout(
        name="menu",
        blocks=("shop", "rule", "items", "rule", "subtotal", "tax", "total", "payment", "date"),
        optional=("subtotal", "tax", "payment", "date"),
        header="centre", shop_scale=1.2, shop_upper=True, rule="*",
        item_patterns=("{name}",), items_upper=False, leader=".",
        moneys=(_DOLLAR, _EURO, _POUND, _POUND_AFTER),
        total_labels=("Total", "GRAND TOTAL", "Grand total:"), total_scale=1.0, total_bold=True,
        subtotal_labels=("Sub-total", "Sum of items"), tax_labels=("Tip", "Service 10%", "Tax"),
        date_labels=("", "on"), date_patterns=_WORDS + _SLASHES, date_align="right", with_time=False,
        line_gap=1.3,
    ),
    ReceiptLayout(
        name="counter",
        blocks=("date", "shop", "phone", "rule", "items", "rule", "total", "payment", "thanks"),
        optional=("date", "phone", "payment", "thanks"),
        header="centre", shop_scale=1.0, shop_upper=True, rule="=",
        item_patterns=("{count} {name}", "{count}x {name}"), items_upper=True, leader="",
        moneys=(_PLAIN, _PLAIN_COMMA, _EURO_WORD_AFTER),
        total_labels=("TOTAL", "TOTAL EUR", "TOTAL DUE", "*TOTAL*"), total_scale=1.15, total_bold=False,
        subtotal_labels=("SUB TOTAL",), tax_labels=("MWST", "TAX"),
        date_labels=("", "", "Printed"), date_patterns=_DOTS + _DASHES, date_align="left", with_time=True,
        line_gap=1.2,
    ),
    ReceiptLayout(
        name="garage",
        blocks=("number", "shop", "address", "items", "rule", "subtotal", "tax", "total", "date", "payment"),
        optional=("number", "address", "subtotal", "tax", "date", "payment"),
        header="right", shop_scale=1.1, shop_upper=False, rule="_",
        item_patterns=("{name}", "{name} ({count})"), items_upper=False, leader="",
        moneys=(_DOLLAR, _POUND, _EURO_AFTER),
        total_labels=("Total:", "To pay:", "Amount:", "Please pay"), total_scale=1.0, total_bold=True,
        subtotal_labels=("Parts", "Subtotal:"), tax_labels=("Tax:", "VAT:"),
        date_labels=("Date:", "Day:", "Paid on"), date_patterns=_SLASHES + _WORDS, date_align="right",
        with_time=False, line_gap=1.3,
    ),
    ReceiptLayout(
        name="stall",
        blocks=("shop", "date", "total", "thanks"),
        optional=("thanks", "date"),
        header="centre", shop_scale=1.2, shop_upper=False, rule="",
        item_patterns=("{name}",), items_upper=False, leader="",
        moneys=(_DOLLAR, _EURO, _POUND, _PLAIN),
        total_labels=("Total", "TOTAL", "Paid", "Total paid"), total_scale=1.2, total_bold=True,
        subtotal_labels=("Subtotal",), tax_labels=("Tax",),
        date_labels=("", "Date:"), date_patterns=_SLASHES + _DOTS + _WORDS, date_align="centre",
        with_time=True, line_gap=1.5,
    ),
)  # fmt: skip

_LABELS = (
    LabelLayout(
        name="shelf", rows=("product", "price"), align="left", price_scale=1.7, price_bold=True,
        product_upper=False, price_labels=("",), detail_patterns=("{grams} g",),
        moneys=(_DOLLAR, _POUND, _EURO), framed=True,
    ),
    LabelLayout(
        name="tag", rows=("product", "detail", "price"), align="centre", price_scale=1.5, price_bold=True,
        product_upper=True, price_labels=("",), detail_patterns=("{grams} g", "{grams} ml", "No. {code}"),
        moneys=(_DOLLAR, _EURO_AFTER, _PLAIN), framed=False,
    ),
    LabelLayout(
        name="weighed", rows=("product", "detail", "price"), align="left", price_scale=1.2, price_bold=False,
        product_upper=False, price_labels=("Price", "Price:", "PRICE"),
        detail_patterns=("{each} per kg", "{each}/kg"), moneys=(_DOLLAR, _POUND, _EURO), framed=True,
    ),
    LabelLayout(
        name="offer", rows=("price", "product"), align="centre", price_scale=2.0, price_bold=True,
        product_upper=False, price_labels=("", "now", "only"), detail_patterns=("Art. {code}",),
        moneys=(_DOLLAR, _EURO, _EURO_AFTER, _POUND), framed=True,
    ),
    LabelLayout(
        name="sticker", rows=("product", "price", "detail"), align="right", price_scale=1.3, price_bold=True,
        product_upper=True, price_labels=("", "EUR", "each"), detail_patterns=("#{code}", "{grams}g", "SKU {code}"),
        moneys=(_PLAIN, _PLAIN_COMMA), framed=False,
    ),
)  # fmt: skip

_LINES = (
    LineLayout(
        name="loose", align="left", date_labels=("Date:", "Date", "DATE:", "", "Issued", "Printed"),
        total_labels=("Total", "TOTAL", "Total:", "Amount due", "Sum", "TOTAL DUE", "Balance due"),
        date_patterns=_SLASHES + _DASHES + _DOTS + _WORDS,
        moneys=(_DOLLAR, _POUND, _EURO, _EURO_AFTER, _EURO_WORD, _PLAIN, _USD, _PLAIN_COMMA),
    ),
    LineLayout(
        name="centred", align="centre", date_labels=("", "on", "Date"), total_labels=("Total", "To pay", "TOTAL:"),
        date_patterns=_WORDS + _DASHES, moneys=(_DOLLAR, _EURO_WORD_AFTER, _POUND_AFTER, _DOLLAR_WIDE),
    ),
)  # fmt: skip

TRAINING_LAYOUTS = Layouts(_RECEIPTS, _LABELS, _LINES)
