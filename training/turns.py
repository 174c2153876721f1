"""Further questions about a receipt, a label, a line or a page that has been asked about once.

What they ask for is what the picture's facts tell, or surely do not: nothing new is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from .document_wordings import WORDINGS
from .drawing import Book, Picture, Sample
from .drawing.book import Side
from .drawing.types import Task
from .phrasing import places_of, reworded
from .questions import absent, asked, vary

MOST_TURNS: dict[Side, int] = {"training": 12, "evaluation": 4}
_MOST_LINES = 2  # asked for by number


def in_turns(rng: random.Random, book: Book, sample: Sample) -> Sample:
    """The sample among others about its picture, in any order; without a picture it stays alone."""
    if sample.picture is None:
        return sample
    others = _others(rng, book, sample.picture)
    rng.shuffle(others)
    talk = unrepeated([sample, *others])[: rng.randint(2, MOST_TURNS[book.side])]
    rng.shuffle(talk)
    return last_of(talk)


def last_of(talk: Sequence[Sample]) -> Sample:
    """The last question about a picture, after the others."""
    return replace(talk[-1], earlier=tuple((each.question, each.answer) for each in talk[:-1]))


def unrepeated(talk: Sequence[Sample]) -> list[Sample]:
    """Without those that ask, in whatever words, for what one before them has asked for."""
    first: dict[tuple[str, ...], Sample] = {}
    for each in talk:
        first.setdefault(each.about, each)
    return list(first.values())


def _others(rng: random.Random, book: Book, picture: Picture) -> list[Sample]:
    facts = picture.facts
    lines = list(enumerate(facts.lines, 1))
    others = [
        _line(rng, book, picture, *each) for each in rng.sample(lines, min(_MOST_LINES, len(lines)))
    ]
    said: dict[Task, str | None] = {
        "date": facts.date, "who": facts.shop, "total": facts.total, "price": facts.price,
        "product": facts.product,
    }  # fmt: skip
    if not any(said.values()):  # any text at all: nobody knows what it does not say
        return others
    others += [asked(rng, book, picture, task, value) for task, value in said.items() if value]
    others += [absent(rng, book, picture, task) for task in ("date", "who") if not said[task]]
    others += [asked(rng, book, picture, "item", amount, name) for name, amount in facts.items]
    if facts.items:
        listed = {name.lower() for name, _ in facts.items}
        missing = [name for name in book.words.products if name.lower() not in listed]
        others.append(absent(rng, book, picture, "item", rng.choice(missing)))
    return others


def _line(rng: random.Random, book: Book, picture: Picture, number: int, line: str) -> Sample:
    wording = reworded(rng, book, WORDINGS["line"][:-1], "line", places_of(picture))
    question = vary(rng, wording).replace("{0}", str(number))
    return Sample(picture, question, line, "line", wording=wording, about=("line", str(number)))
