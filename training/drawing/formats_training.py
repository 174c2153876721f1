"""Amounts and dates as training prints them on receipts, labels and lines."""

from __future__ import annotations

from .printed import Money

DOLLAR = Money("$")
DOLLAR_WIDE = Money("$ ")
POUND = Money("£")
EURO = Money("€")
EURO_AFTER = Money("", " €", ",")
EURO_WORD = Money("EUR ")
EURO_WORD_AFTER = Money("", " EUR", ",")
PLAIN = Money("")
PLAIN_COMMA = Money("", "", ",")
USD = Money("USD ")
POUND_AFTER = Money("", " GBP")

SLASHES = ("{d:02}/{m:02}/{y}", "{m:02}/{d:02}/{y}", "{d}/{m}/{y}", "{d:02}/{m:02}/{yy:02}")
DASHES = ("{y}-{m:02}-{d:02}", "{d:02}-{m:02}-{y}", "{d:02}-{mon}-{y}")
DOTS = ("{d:02}.{m:02}.{y}", "{d}.{m}.{y}", "{d:02}.{m:02}.{yy:02}")
WORDS = (
    "{d} {mon} {y}",
    "{mon} {d}, {y}",
    "{month} {d}, {y}",
    "{d} {month} {y}",
    "{d:02} {MON} {y}",
)
