"""Questions about drawn pictures, in many wordings, each with the one right answer.

An answer is the bare value exactly as printed, or a fixed sentence. `sample` follows a
curriculum: level 0 asks for lines of four characters, level 1 for everything.
"""

from __future__ import annotations

import random
from dataclasses import replace

from .drawing.book import Book
from .drawing.label import draw_label
from .drawing.line import draw_line, draw_value_line
from .drawing.page import draw_page
from .drawing.receipt import draw_receipt
from .drawing.types import Picture, Sample, Task
from .phrasing import asks_anew, phrase, places_of, reworded
from .wordings import ABSENT_ANSWER, CHAT, MORE_CHAT, WORDINGS

_RECEIPT_TASKS: tuple[tuple[Task, float], ...] = (
    ("total", 0.42), ("date", 0.23), ("who", 0.2), ("item", 0.05), ("absent", 0.1),
)  # fmt: skip
_LABEL_TASKS: tuple[tuple[Task, float], ...] = (
    ("price", 0.32), ("product", 0.24), ("read", 0.34), ("absent", 0.1),
)  # fmt: skip
_LINE_TASKS: tuple[tuple[Task, float], ...] = (
    ("read", 0.7), ("date", 0.1), ("total", 0.08), ("who", 0.04), ("absent", 0.08),
)  # fmt: skip

_PICTURED_TASKS = ("total", "date", "shop", "read", "price", "product")


def sample(rng: random.Random, book: Book, level: float) -> Sample:
    """One question at this level of the curriculum, 0 to 1."""
    roll = rng.random()
    if roll < 0.04 * min(1.0, level / 0.3):
        return chat_sample(rng, book)
    receipts = 0.6 * _ramp(level, 0.5, 1.0)
    labels = 0.14 * _ramp(level, 0.4, 0.5)
    roll = rng.random()
    if roll < receipts:
        return receipt_sample(rng, book, _pick(rng, _RECEIPT_TASKS))
    if roll < receipts + labels:
        return label_sample(rng, book, _pick(rng, _LABEL_TASKS))
    task = _pick(rng, _LINE_TASKS) if level >= 0.4 else "read"
    return line_sample(rng, book, task, most_characters(level))


def transcript_sample(rng: random.Random, book: Book, level: float) -> Sample:
    """Everything that a picture says, read out line by line.

    One such answer teaches as much reading as ten short ones, at twice their cost.
    """
    if rng.random() < 0.45 * _ramp(level, 0.2, 0.6):
        picture = draw_receipt(rng, book)
    else:
        most_rows = 2 + round(2 * _ramp(level, 0.0, 0.4))
        width, height = 32 * rng.randint(4, 8), 32 * rng.randint(1, most_rows)
        picture = draw_page(rng, book, width, height)
    if not picture.facts.lines:  # a narrow page may have had no room for a line
        return transcript_sample(rng, book, level)
    return asked(rng, book, picture, "read", "\n".join(picture.facts.lines))


def most_characters(level: float) -> int:
    """How long lines may be at this level: 4, 8 at 0.3, 14 at 0.5, 28 at 1."""
    if level < 0.3:
        return 4 + int(4 * level / 0.3)
    if level < 0.5:
        return 8 + int(6 * (level - 0.3) / 0.2)
    return 14 + int(14 * _ramp(level, 0.5, 1.0))


def receipt_sample(rng: random.Random, book: Book, task: Task) -> Sample:
    if task == "absent":
        return _absent_from_receipt(rng, book)
    if task == "item":
        picture = draw_receipt(rng, book, keep=("items",))
        name, amount = rng.choice(picture.facts.items)
        return asked(rng, book, picture, "item", amount, name)
    if task == "date":
        picture = draw_receipt(rng, book, keep=("date",))
        return asked(rng, book, picture, "date", _known(picture.facts.date))
    if task == "who":
        picture = draw_receipt(rng, book, keep=("shop",))
        return asked(rng, book, picture, "who", _known(picture.facts.shop))
    picture = draw_receipt(rng, book)
    return asked(rng, book, picture, "total", _known(picture.facts.total))


def label_sample(rng: random.Random, book: Book, task: Task) -> Sample:
    picture = draw_label(rng, book)
    if task == "absent":
        return absent(rng, book, picture, rng.choice(("date", "who")))
    if task == "read":
        return asked(rng, book, picture, "read", "\n".join(picture.facts.lines))
    if task == "product":
        return asked(rng, book, picture, "product", _known(picture.facts.product))
    return asked(rng, book, picture, "price", _known(picture.facts.price))


def line_sample(rng: random.Random, book: Book, task: Task, max_chars: int) -> Sample:
    """Lines that carry one value are as long as the value needs."""
    if task == "read":
        picture = draw_line(rng, book, max_chars)
        return asked(rng, book, picture, "read", picture.facts.lines[0])
    if task == "absent":
        return _absent_from_line(rng, book)
    picture = draw_value_line(rng, book, task)
    facts = picture.facts
    return asked(rng, book, picture, task, _known(facts.date or facts.total or facts.shop))


def chat_sample(rng: random.Random, book: Book) -> Sample:
    index = rng.randrange(len(CHAT))
    questions, answer = CHAT[index]
    question = rng.choice(questions)
    if asks_anew(rng, book):
        more = MORE_CHAT[index]
        question = rng.choice(more) if more else phrase(rng, rng.choice(_PICTURED_TASKS))
    return Sample(None, vary(rng, question), answer, "chat")


def vary(rng: random.Random, question: str) -> str:
    """The question as people type it: now and then in lower case, without its mark, polite."""
    roll = rng.random()
    if roll < 0.7:
        return question
    if roll < 0.8:
        return question.lower()
    if roll < 0.88:
        return question.rstrip("?.!")
    if roll < 0.94:
        return question.lower().rstrip("?.!")
    if roll < 0.97:
        return question.upper()
    bare = question.rstrip("?.!")
    return f"{bare}, please{question[len(bare) :]}"


def asked(
    rng: random.Random, book: Book, picture: Picture, task: Task, answer: str, name: str = ""
) -> Sample:
    """A question of this task in one of its wordings, with its answer."""
    cores = "shop" if task == "who" else task
    wording = reworded(rng, book, WORDINGS[task], cores, places_of(picture))
    question = vary(rng, wording).replace("{0}", name)
    return Sample(picture, question, answer, task, wording=wording, about=(task, name))


def absent(
    rng: random.Random, book: Book, picture: Picture, wanted: Task, name: str = ""
) -> Sample:
    """The same about what the picture does not say."""
    question = asked(rng, book, picture, wanted, ABSENT_ANSWER, name)
    return replace(question, task="absent")


def _absent_from_receipt(rng: random.Random, book: Book) -> Sample:
    roll = rng.random()
    if roll < 0.6:
        return absent(rng, book, draw_receipt(rng, book, leave_out=("date",)), "date")
    if roll < 0.9:
        return absent(rng, book, draw_receipt(rng, book, leave_out=("shop",)), "who")
    picture = draw_receipt(rng, book, keep=("items",))
    listed = {name.lower() for name, _ in picture.facts.items}
    missing = [name for name in book.words.products if name.lower() not in listed]
    return absent(rng, book, picture, "item", rng.choice(missing))


def _absent_from_line(rng: random.Random, book: Book) -> Sample:
    """A date where only an amount stands, or an amount where only a date stands."""
    if rng.random() < 0.5:
        picture = draw_value_line(rng, book, "total")
        return absent(rng, book, picture, rng.choice(("date", "who")))
    picture = draw_value_line(rng, book, "date")
    return absent(rng, book, picture, rng.choice(("total", "who", "price")))


def _known(value: str | None) -> str:
    assert value is not None, "the picture was drawn to have it"
    return value


def _pick(rng: random.Random, tasks: tuple[tuple[Task, float], ...]) -> Task:
    names: list[Task] = [task for task, _ in tasks]
    return rng.choices(names, [share for _, share in tasks])[0]


def _ramp(level: float, start: float, end: float) -> float:
    return min(1.0, max(0.0, (level - start) / (end - start)))
