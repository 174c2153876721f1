"""Words that are on no list, beside those that are: they can be read letter by letter alone.

A reader that has seen a few hundred words only learns to tell those apart, and names any other by
the nearest of them. Only training prints made-up words; nothing of the other side is ever made up.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Collection, Mapping

from .printed import any_name

Lists = Mapping[str, tuple[str, ...]]

# How many are made up for each list, beside its own entries.
_COUNTS = {
    "words": 900, "syllables": 160, "products": 900, "people": 400, "towns": 200, "streets": 200,
    "shop_first": 300, "shop_second": 300, "shop_kind": 150, "keys": 400, "titles": 240,
    "tables": 240, "charts": 240, "commands": 80, "outputs": 80, "sentences": 200, "switches": 400,
    "buttons": 60,
}  # fmt: skip
_ONSETS = "b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fl gr pl sh sk sp st str th tr"
_VOWELS = "a e i o u ai ea ee ie oo ou y"
_CODAS = "b ck d ft g l ll m n nd ng nt p r rd rk rt s ss st t x"
_LISTED_SHARE = 0.4  # of the words in made-up titles and sentences that are on a list
_ROW_TYPES = ("name", "town", "product", "code")
_CELL_TYPES = ("count", "money", "town", "time", "grams", "date", "code", "percent", "word")
_NOUNS = ("rows", "entries", "lines")


def add_made_up(rng: random.Random, lists: Lists, apart: Collection[str]) -> Lists:
    """The lists with entries made up beside their own, none of which is one of `apart`."""
    maker = _Maker(rng, lists, apart)
    return {name: entries + maker.entries(name) for name, entries in lists.items()}


def pieces(entries: Collection[str]) -> set[str]:
    """What is printed of a list's entries, in lower case: bars, commas and equal signs part it."""
    return {piece.casefold() for entry in entries for piece in (entry, *re.split("[|,=]", entry))}


class _Maker:
    def __init__(self, rng: random.Random, lists: Lists, apart: Collection[str]) -> None:
        self._rng, self._lists = rng, lists
        own = pieces([entry for entries in lists.values() for entry in entries])
        self._taken = own | pieces(apart)

    def entries(self, name: str) -> tuple[str, ...]:
        make = self._makers.get(name, lambda: self._name(name))
        return tuple(make() for _ in range(_COUNTS.get(name, 0)))

    @property
    def _makers(self) -> dict[str, Callable[[], str]]:
        return {
            "words": self._word,
            "syllables": lambda: self._fresh(self._syllable),
            "keys": self._key,
            "titles": lambda: f"{self._kind('titles')}|{self._phrase(3)}",
            "tables": self._table,
            "charts": self._chart,
            "commands": lambda: self._fresh(self._command),
            "outputs": lambda: self._sentence(3, ("count", "word", "code")),
            "sentences": lambda: self._sentence(9, ("town", "name", "money", "time", "product")),
            "switches": lambda: self._phrase(3),
            "buttons": lambda: self._phrase(1),
        }

    def _fresh(self, make: Callable[[], str]) -> str:
        while (text := make()).casefold() in self._taken:
            pass
        self._taken.add(text.casefold())
        return text

    def _word(self) -> str:
        """In small letters: of syllables, a listed one with letters changed, or any letters."""
        rng = self._rng
        roll = rng.random()
        if roll < 0.45:
            listed = [word for word in self._lists["words"] if len(word) > 3]
            return self._fresh(lambda: self._respelled(rng.choice(listed)))
        if roll < 0.8:
            parts = [self._syllable() for _ in range(6)]
            return self._fresh(lambda: any_name(rng, parts).lower())
        letters = string.ascii_lowercase
        return self._fresh(lambda: "".join(rng.choices(letters, k=rng.randint(3, 8))))

    def _syllable(self) -> str:
        parts = (_ONSETS, _VOWELS, _CODAS) if self._rng.random() < 0.5 else (_ONSETS, _VOWELS)
        return "".join(self._rng.choice(part.split()) for part in parts)

    def _respelled(self, text: str) -> str:
        """One or two letters changed, one of them now and then left out or doubled."""
        rng, letters = self._rng, list(text)
        for _ in range(rng.randint(1, 2)):
            at = rng.choice([i for i, letter in enumerate(letters) if letter[:1].isalpha()])
            other = rng.choice(string.ascii_lowercase)
            other = other.upper() if letters[at].isupper() else other
            letters[at] = rng.choice((other, other, other, other, letters[at] * 2))
        return "".join(letters)

    def _name(self, name: str) -> str:
        """A thing, person or place: like one of the list, or of words that nobody knows."""
        rng = self._rng
        like = rng.choice(self._lists[name])
        if rng.random() < 0.55:
            return self._fresh(lambda: self._respelled(like))
        word = " ".join(self._word().capitalize() for _ in like.split())
        if name == "products" and rng.random() < 0.25:
            return self._fresh(lambda: f"{word.split()[0]} {rng.randint(2, 999)}")
        return word

    def _any_word(self) -> str:
        is_listed = self._rng.random() < _LISTED_SHARE
        return self._rng.choice(self._lists["words"]) if is_listed else self._word()

    def _phrase(self, most_words: int) -> str:
        """Words with a capital at the beginning, or at each, now and then in capitals alone."""
        rng = self._rng
        words = [self._word(), *(self._any_word() for _ in range(rng.randint(0, most_words - 1)))]
        rng.shuffle(words)
        text = " ".join(words)
        return rng.choice((text.capitalize(), text.capitalize(), text.title(), text.upper()))

    def _kind(self, name: str) -> str:
        return self._rng.choice(self._lists[name]).split("|")[0]

    def _key(self) -> str:
        """A key of a kind and type that are on the list."""
        kind, type, _ = self._rng.choice(self._lists["keys"]).split("|")
        ending = " no." if type == "code" and self._rng.random() < 0.4 else ""
        return f"{kind}|{type}|{self._phrase(2)}{ending}"

    def _table(self) -> str:
        rng = self._rng
        types = [rng.choice(_ROW_TYPES), *rng.sample(_CELL_TYPES, rng.randint(1, 4))]
        columns = [f"{self._phrase(1)}={type}" for type in types]
        return "|".join((self._phrase(2), rng.choice(_NOUNS), *columns))

    def _chart(self) -> str:
        labels = [self._phrase(1) for _ in range(self._rng.randint(3, 7))]
        return f"{self._phrase(3)}|{','.join(labels)}"

    def _command(self) -> str:
        rng = self._rng
        parts = [self._word(), *(self._any_word() for _ in range(rng.randint(0, 2)))]
        if rng.random() < 0.4:
            parts.insert(1, f"-{rng.choice(string.ascii_letters)}")
        if rng.random() < 0.4:
            parts[-1] += rng.choice((".py", ".txt", ".log", "/", ".sh"))
        return " ".join(parts)

    def _sentence(self, most_words: int, slots: tuple[str, ...]) -> str:
        rng = self._rng
        words = [self._any_word() for _ in range(rng.randint(2, most_words))]
        if rng.random() < 0.5:
            words.insert(rng.randint(1, len(words)), f"{{{rng.choice(slots)}}}")
        return f"{words[0].capitalize()} {' '.join(words[1:])}{rng.choice(('.', '.', '', '!'))}"
