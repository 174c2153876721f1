"""Names of shops and their addresses, put together from one side's lists."""

from __future__ import annotations

import random

from .book import Words
from .printed import any_name


def shop_name(rng: random.Random, words: Words, max_chars: int = 20) -> str:
    """Two or three words as over a shop's door, in upper case now and then."""
    while True:
        roll = rng.random()
        if roll < 0.35:
            parts = [rng.choice(words.shop_first), rng.choice(words.shop_second)]
        elif roll < 0.6:
            parts = [rng.choice(words.shop_second), rng.choice(words.shop_kind)]
        elif roll < 0.8:
            parts = [any_name(rng, words.syllables), rng.choice(words.shop_kind)]
        else:
            parts = [rng.choice(words.shop_first), any_name(rng, words.syllables)]
        if roll < 0.15:
            parts.append(rng.choice(words.shop_kind))
        name = " ".join(parts)
        if len(name) <= max_chars:
            return name.upper() if rng.random() < 0.3 else name
        if max_chars < 12:
            return any_name(rng, words.syllables)[:max_chars]


def address(rng: random.Random, words: Words) -> str:
    street = f"{rng.randint(1, 299)} {rng.choice(words.streets)}"
    roll = rng.random()
    if roll < 0.6:
        return street
    if roll < 0.8:
        return f"{rng.choice(words.towns)} {rng.randint(10000, 99999)}"
    return rng.choice(words.towns)
