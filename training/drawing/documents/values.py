"""Single values as forms and tables hold them, by the types that the word lists name.

"invoice|date|Due date" in a word list asks for a value of the type "date".
"""

from __future__ import annotations

import random
import string

from ..book import Words
from ..printed import Money, any_cents, any_day, any_name, any_phone, any_time, print_date

_CODES = ("##-####", "A-####", "######", "AA ###", "A####-##", "####")
_CODE_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_LONGEST_PRODUCT = 14


def any_value(rng: random.Random, words: Words, type: str, money: Money, date_pattern: str) -> str:
    """A value of this type as it stands on paper; an unknown type is a whole number."""
    match type:
        case "date":
            return print_date(any_day(rng), date_pattern)
        case "name":
            return rng.choice(words.people)
        case "town":
            return rng.choice(words.towns)
        case "street":
            return f"{rng.randint(1, 299)} {rng.choice(words.streets)}"
        case "phone":
            return any_phone(rng, words.phone_patterns)
        case "email":
            host = any_name(rng, words.syllables).lower()
            return f"{any_name(rng, words.syllables).lower()}@{host}.com"
        case "money":
            return money.print(any_cents(rng))
        case "time":
            return any_time(rng)
        case "code":
            signs = {"A": _CODE_LETTERS, "#": string.digits}
            return "".join(rng.choice(signs.get(c, c)) for c in rng.choice(_CODES))
        case "product":
            while len(product := rng.choice(words.products)) > _LONGEST_PRODUCT:
                pass
            return product
        case "word":
            return any_name(rng, words.syllables)
        case "grams":
            return f"{rng.randrange(50, 2000, 25)} g"
        case "percent":
            return f"{rng.randint(1, 100)}%"
        case "days":
            return f"{rng.choice((7, 10, 14, 21, 30, 60))} days"
        case "year":
            return str(rng.randint(1980, 2040))
        case _:
            return str(rng.randint(1, 10 ** rng.randint(1, 3)))
