"""The documents that cortex-nano is judged by. It is never trained on any of these layouts."""

from __future__ import annotations

from .layouts import DOLLAR, EURO, EURO_AFTER, PLAIN, POUND, DocumentLayout

_DATES = ("{d:02}/{m:02}/{y}", "{y}-{m:02}-{d:02}", "{d:02}.{m:02}.{y}", "{d} {mon} {y}")
_MONO = ("code", "courier")

EVALUATION_DOCUMENTS = (
    DocumentLayout(
        "bill-lined", "invoice", ("title|sender", "rule", "pairs", "items", "totals"), _DATES,
        optional=("pairs",), table="lines", total_labels=("Sum total", "Total amount"),
        tax_labels=("incl. VAT {rate}%",), moneys=(EURO, POUND), line_gap=1.28,
    ),
    DocumentLayout(
        "bill-grid", "invoice", ("banner", "space", "pairs|to", "items", "totals", "thanks"),
        _DATES, optional=("thanks",), table="grid", pairs="column", moneys=(DOLLAR, EURO_AFTER),
        total_labels=("Payable",), to_labels=("Client:",), line_gap=1.32,
    ),
    DocumentLayout(
        "card-boxed", "form", ("banner", "space", "pairs"), _DATES, pairs="boxed", line_gap=1.3,
    ),
    DocumentLayout(
        "card-stacked", "form", ("title", "pairs|pairs", "rule", "ticks"), _DATES,
        pairs="stacked", optional=("ticks",), heading_scale=1.25,
    ),
    DocumentLayout(
        "shelf-tag", "label", ("price", "product", "pairs"), _DATES, optional=("pairs",),
        heading_scale=1.3, heading="centre", line_gap=1.22,
    ),
    DocumentLayout("shelf-strip", "label", ("product|pairs|price",), _DATES, line_gap=1.25),
    DocumentLayout(
        "note", "letter", ("date", "sender", "space", "greeting", "body", "closing"), _DATES,
        greetings=("To {name}:",), closings=("Yours,", "Many greetings,"), line_gap=1.35,
    ),
    DocumentLayout(
        "bulletin", "letter", ("title", "rule", "body|body", "date"), _DATES, heading_scale=1.5,
    ),
    DocumentLayout(
        "pass", "ticket", ("banner", "space", "pairs|pairs", "rule", "price"), _DATES,
        pairs="stacked", line_gap=1.25,
    ),
    DocumentLayout("coupon", "ticket", ("title|pairs|price",), _DATES, window=True),
    DocumentLayout("register", "table", ("banner", "space", "table"), _DATES, table="grid"),
    DocumentLayout(
        "list", "table", ("title", "rule", "table", "rule", "pairs"), _DATES, optional=("pairs",),
        heading="centre", moneys=(PLAIN, POUND),
    ),
    DocumentLayout(
        "survey", "chart", ("title", "rule", "bars", "rule", "pairs"), _DATES,
        optional=("pairs",), heading_scale=1.2,
    ),
    DocumentLayout(
        "survey-upright", "chart", ("banner", "bars"), _DATES, upright_bars=True,
    ),
    DocumentLayout(
        "console", "terminal", ("title", "rule", "commands", "pairs"), _DATES, families=_MONO,
        heading_scale=1.0, prompts=(">>", "me@desk $"), optional=("pairs",), line_gap=1.22,
    ),
    DocumentLayout(
        "options-slides", "dialog", ("banner", "space", "pairs", "ticks", "buttons"), _DATES,
        pairs="edges", switches="slide", window=True, line_gap=1.4,
    ),
    DocumentLayout(
        "options-ticks", "dialog", ("title", "ticks", "rule", "pairs", "buttons"), _DATES,
        optional=("pairs",), line_gap=1.3, pairs="column",
    ),
)  # fmt: skip
