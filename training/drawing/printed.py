"""Strings as they stand on paper: dates, amounts of money, codes, names, running words.

Every choice comes from the caller's Random; formats are data, so that each layout has its own.
Knows no picture and no font. Characters are printable ASCII, the pound and the euro sign.
"""

from __future__ import annotations

import datetime
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
# Codes leave out the letters that many fonts print like a digit; words still have them.
_UPPER_CODE = "ABCDEFGHJKLMNPQRSTUVWXYZ" + string.digits
_LOWER_CODE = "abcdefghijkmnopqrstuvwxyz"
_MIXED_CODE = _UPPER_CODE + _LOWER_CODE
_SYMBOLS = "#%&()*+-./:;=?@!,'\"_<>[]{}^~`|\\$£€"
_FIRST_DAY = datetime.date(2015, 1, 1).toordinal()
_LAST_DAY = datetime.date(2032, 12, 31).toordinal()


@dataclass(frozen=True, slots=True)
class Money:
    """How amounts are printed: what stands before and after, and the decimal mark."""

    before: str = "$"
    after: str = ""
    mark: str = "."

    def print(self, cents: int) -> str:
        units, rest = divmod(abs(cents), 100)
        sign = "-" if cents < 0 else ""
        return f"{sign}{self.before}{units}{self.mark}{rest:02}{self.after}"


def any_day(rng: random.Random) -> datetime.date:
    return datetime.date.fromordinal(rng.randint(_FIRST_DAY, _LAST_DAY))


def print_date(day: datetime.date, pattern: str) -> str:
    """Fill `pattern`, for example "{d:02}/{m:02}/{y}" or "{mon} {d}, {y}"."""
    month = _MONTHS[day.month - 1]
    return pattern.format(
        d=day.day,
        m=day.month,
        y=day.year,
        yy=day.year % 100,
        month=month,
        mon=month[:3],
        MON=month[:3].upper(),
    )


def any_time(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"


def any_cents(rng: random.Random, most_digits: int = 4) -> int:
    """An amount whose number of digits is even over the range, as prices are."""
    digits = rng.randint(3, max(3, most_digits))
    return rng.randint(10 ** (digits - 1), 10**digits - 1)


def any_code(rng: random.Random, phone_patterns: Sequence[str], longest: int = 6) -> str:
    length = rng.randint(1, longest)
    roll = rng.random()
    if roll < 0.45:
        return "".join(rng.choices(_UPPER_CODE, k=length))
    if roll < 0.65:
        return "".join(rng.choices(_LOWER_CODE, k=length))
    if roll < 0.8:
        return "".join(rng.choices(_MIXED_CODE, k=length))
    if roll < 0.88:
        return "".join(rng.choices(_MIXED_CODE + _SYMBOLS, k=length))
    return any_phone(rng, phone_patterns)[: max(length, 3)].strip("- ()")


def any_phone(rng: random.Random, patterns: Sequence[str]) -> str:
    """A phone number: each # of a pattern becomes a digit."""
    pattern = rng.choice(patterns)
    return "".join(rng.choice(string.digits) if char == "#" else char for char in pattern)


def any_name(rng: random.Random, syllables: Sequence[str]) -> str:
    """A word that is on no list."""
    return "".join(rng.choices(syllables, k=rng.randint(2, 3))).capitalize()


def recase(rng: random.Random, text: str) -> str:
    roll = rng.random()
    if roll < 0.45:
        return text
    if roll < 0.7:
        return text.upper()
    return text.capitalize() if roll < 0.85 else text.lower()


@dataclass(frozen=True, slots=True)
class Scraps:
    """What random text is made of on one side."""

    words: Sequence[str]
    syllables: Sequence[str]
    products: Sequence[str]
    phone_patterns: Sequence[str]
    date_patterns: Sequence[str]
    moneys: Sequence[Money]


def any_scrap(rng: random.Random, scraps: Scraps) -> str:
    """One word, number, code, amount or date."""
    roll = rng.random()
    if roll < 0.32:
        return recase(rng, rng.choice(scraps.words))
    if roll < 0.52:
        return any_code(rng, scraps.phone_patterns)
    if roll < 0.62:
        return str(rng.randint(0, 10 ** rng.randint(1, 6)))
    if roll < 0.76:
        return rng.choice(scraps.moneys).print(any_cents(rng, 5))
    if roll < 0.84:
        return recase(rng, any_name(rng, scraps.syllables))
    if roll < 0.92:
        return recase(rng, rng.choice(scraps.products))
    return print_date(any_day(rng), rng.choice(scraps.date_patterns))


def random_text(rng: random.Random, scraps: Scraps, max_chars: int) -> str:
    """Scraps joined by single spaces: at least one character, at most `max_chars`."""
    text = ""
    while True:
        scrap = any_scrap(rng, scraps)
        joined = f"{text} {scrap}" if text else scrap
        if len(joined) > max_chars:
            return text or scrap[:max_chars].strip()
        text = joined
        if rng.random() < 0.2:
            return text + rng.choice(("", "", "", ".", ":", ",")) if len(text) < max_chars else text
