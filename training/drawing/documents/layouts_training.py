"""The documents that training draws. None of these layouts is used to judge."""

from __future__ import annotations

from .layouts import DOLLAR, EURO, EURO_AFTER, PLAIN, POUND, DocumentLayout

_NUMBERS = ("{d:02}/{m:02}/{y}", "{y}-{m:02}-{d:02}", "{d:02}.{m:02}.{y}", "{d}/{m}/{y}")
_WORDS = ("{d} {month} {y}", "{mon} {d}, {y}", "{d} {mon} {y}", "{month} {d}, {y}")
_MONO = ("mono", "inconsolata", "anonymous")

TRAINING_DOCUMENTS = (
    DocumentLayout(
        "invoice-plain", "invoice", ("title", "sender|pairs", "rule", "items", "totals", "thanks"),
        _NUMBERS, optional=("thanks", "rule"), table="lines", total_labels=("Total", "TOTAL"),
        tax_labels=("VAT {rate}%", "Tax"), moneys=(DOLLAR, POUND, EURO),
    ),
    DocumentLayout(
        "invoice-banner", "invoice", ("banner", "space", "to|pairs", "space", "items", "totals"),
        _NUMBERS + _WORDS, optional=("to|pairs",), pairs="column", bold_keys=True, table="head",
        total_labels=("Amount due", "Balance due", "Please pay"), tax_labels=("Sales tax {rate}%",),
        to_labels=("Bill to:", "Sold to:"), line_gap=1.35,
    ),
    DocumentLayout(
        "invoice-centred", "invoice",
        ("sender", "rule", "title", "pairs", "to", "items", "totals", "rule", "thanks"),
        _WORDS, optional=("to", "thanks", "pairs"), heading="centre", heading_scale=1.5,
        pairs="edges", table="grid", total_labels=("Invoice total", "To pay", "Final amount"),
        moneys=(EURO_AFTER, PLAIN), to_labels=("For", "Customer"), line_gap=1.25,
    ),
    DocumentLayout(
        "invoice-striped", "invoice", ("sender|title", "pairs", "items", "totals"), _NUMBERS,
        pairs="column", table="stripes", total_labels=("Total due", "Grand total"),
        tax_labels=("Tax {rate}%", "GST"), moneys=(DOLLAR, PLAIN), heading_scale=1.6,
    ),
    DocumentLayout(
        "form-boxed", "form", ("title", "pairs"), _NUMBERS, pairs="boxed", line_gap=1.35,
    ),
    DocumentLayout(
        "form-stacked", "form", ("title", "rule", "pairs"), _NUMBERS + _WORDS, pairs="stacked",
        bold_keys=True, heading_scale=1.4, line_gap=1.2,
    ),
    DocumentLayout(
        "form-columns", "form", ("banner", "space", "pairs|pairs", "ticks"), _NUMBERS,
        pairs="stacked", optional=("ticks",), heading="centre",
    ),
    DocumentLayout(
        "form-rows", "form", ("title", "pairs", "rule", "pairs", "ticks"), _WORDS,
        optional=("ticks", "rule"), pairs="column", heading="centre", line_gap=1.45,
    ),
    DocumentLayout(
        "form-colons", "form", ("title", "pairs"), _NUMBERS, bold_keys=True, heading_scale=1.15,
    ),
    DocumentLayout(
        "tag-price", "label", ("product", "price", "pairs"), _NUMBERS, optional=("pairs",),
        heading="centre", heading_scale=1.2,
    ),
    DocumentLayout(
        "tag-jar", "label", ("sender", "rule", "product", "pairs"), _NUMBERS + _WORDS,
        pairs="edges", optional=("rule",), heading="centre", heading_scale=1.4, window=True,
    ),
    DocumentLayout(
        "tag-wide", "label", ("product|price",), _NUMBERS, heading_scale=1.25,
    ),
    DocumentLayout(
        "tag-parcel", "label", ("to", "rule", "pairs"), _NUMBERS, pairs="column",
        to_labels=("Deliver to:", "Ship to:"), window=True, line_gap=1.2,
    ),
    DocumentLayout(
        "letter-block", "letter",
        ("sender", "space", "date", "space", "title", "greeting", "body", "closing"),
        _WORDS, optional=("title",), heading_scale=1.0,
        greetings=("Dear {name},", "Dear {name}", "Attention: {name}"),
        closings=("Yours sincerely,", "Kind regards,", "Yours faithfully"), line_gap=1.3,
    ),
    DocumentLayout(
        "letter-right", "letter", ("to|date", "space", "pairs", "space", "greeting", "body",
        "closing"), _WORDS + _NUMBERS, optional=("pairs",), to_labels=("",),
        greetings=("Hello {name},", "Hi {name}!", "{name},", "Good morning {name},"),
        closings=("Best wishes,", "With best regards,", "See you soon,"), line_gap=1.4,
    ),
    DocumentLayout(
        "letter-columns", "letter", ("banner", "space", "body|body", "rule", "sender"), _WORDS,
        optional=("sender",), heading="centre",
    ),
    DocumentLayout(
        "ticket-stub", "ticket", ("title", "rule", "pairs|pairs"), _NUMBERS + _WORDS,
        pairs="stacked", bold_keys=True, window=True, line_gap=1.15,
    ),
    DocumentLayout(
        "ticket-strip", "ticket", ("title|pairs|pairs|price",), _NUMBERS, line_gap=1.2,
    ),
    DocumentLayout(
        "ticket-slip", "ticket", ("banner", "space", "pairs", "rule", "price", "thanks"), _NUMBERS,
        optional=("thanks", "price"), heading="centre", pairs="edges",
    ),
    DocumentLayout(
        "ticket-row", "ticket", ("banner", "space", "pairs|pairs|pairs"), _NUMBERS,
        pairs="stacked", line_gap=1.2,
    ),
    DocumentLayout("table-plain", "table", ("title", "table"), _NUMBERS, heading_scale=1.2),
    DocumentLayout(
        "table-grid", "table", ("title", "table", "pairs"), _NUMBERS, optional=("title", "pairs"),
        heading="centre", table="grid",
    ),
    DocumentLayout(
        "table-head", "table", ("title", "space", "table"), _WORDS, table="head", line_gap=1.35,
    ),
    DocumentLayout(
        "table-striped", "table", ("banner", "table", "rule", "pairs"), _NUMBERS, table="stripes",
        optional=("pairs",),
    ),
    DocumentLayout("table-lines", "table", ("table",), _NUMBERS, table="lines"),
    DocumentLayout("chart-rows", "chart", ("title", "space", "bars"), _NUMBERS),
    DocumentLayout(
        "chart-columns", "chart", ("title", "space", "bars", "pairs"), _NUMBERS,
        optional=("pairs",), heading="centre", upright_bars=True,
    ),
    DocumentLayout(
        "chart-frame", "chart", ("banner", "space", "bars"), _NUMBERS, window=True,
        upright_bars=True, heading="centre", heading_scale=1.1,
    ),
    DocumentLayout(
        "shell", "terminal", ("commands",), _NUMBERS, families=_MONO,
        prompts=("$", "user:~$", ">", "[dev] $", "lab:~/work>"), line_gap=1.25,
    ),
    DocumentLayout(
        "shell-window", "terminal", ("banner", "space", "commands", "table", "commands"), _NUMBERS,
        optional=("table",), families=_MONO, heading="centre", heading_scale=1.0, window=True,
        prompts=("#", "root@box:/#", "anna@mill:~$", "C:\\>"), line_gap=1.2,
    ),
    DocumentLayout(
        "shell-report", "terminal", ("commands", "pairs", "commands"), _NUMBERS, families=_MONO,
        prompts=("%", "~ %", "bash-5$", "->"),
    ),
    DocumentLayout(
        "settings-ticks", "dialog", ("banner", "space", "ticks", "pairs", "buttons"), _NUMBERS,
        optional=("pairs",), pairs="boxed", window=True, heading_scale=1.0,
    ),
    DocumentLayout(
        "settings-slides", "dialog", ("title", "rule", "ticks", "rule", "pairs"), _NUMBERS,
        pairs="edges", switches="slide", optional=("pairs",), line_gap=1.45,
    ),
    DocumentLayout(
        "settings-columns", "dialog", ("banner", "space", "ticks|pairs", "buttons"), _NUMBERS,
        pairs="stacked", window=True, heading="centre", heading_scale=1.1,
    ),
)  # fmt: skip
