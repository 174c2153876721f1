"""The questions that cortex-nano is judged by, and the first 400 of them.

They are drawn from the evaluation book with a seed of their own: fonts, layouts and word lists that
training never sees. A third of the pictures of each of the 400's tasks is square. Blanked cases
replace the pictures by their mean colour: what is still answered right then was guessed, not read.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from PIL import Image

from ..document_wordings import WORDINGS
from ..drawing.book import Book, evaluation_book
from ..drawing.fonts import FONTS_FOLDER, Family, FontShelf
from ..drawing.types import Picture, Sample, Task
from ..questions import chat_sample, label_sample, line_sample, receipt_sample

EVALUATION_SEED = 7_402_611
_HELD_OUT = {wordings[-1] for wordings in WORDINGS.values()}
# What is right without looking often enough: two answers to choose from, or one that never changes.
_GUESSABLE = frozenset({"absent", "chat", "there", "switch", "dearer", "cheaper"})
_Draw = Callable[[random.Random, Book], Sample]


@dataclass(frozen=True, slots=True)
class Case:
    """One question with its pictures, what was said before, and what it is counted under.

    `origin` says which set it is of. Chat has no pictures and so no aspect; `font` is empty where
    nobody knows it.
    """

    origin: Literal["first 400", "documents", "hand"]
    task: Task
    kind: str
    pngs: tuple[bytes, ...]
    question: str
    answer: str
    earlier: tuple[tuple[str, str], ...] = ()
    tools: tuple[str, ...] = ()
    is_held_out: bool = False
    aspect: str = ""
    font: str = ""


class _NotingShelf(FontShelf):
    """Remembers the family that was picked last: the pictures of the 400 do not tell it."""

    picked = ""

    def pick_family(self, rng: random.Random) -> Family:
        family = super().pick_family(rng)
        self.picked = family.name
        return family


def _line(task: Task) -> _Draw:
    return lambda rng, book: line_sample(rng, book, task, rng.randint(4, 24))


def _label(task: Task) -> _Draw:
    return lambda rng, book: label_sample(rng, book, task)


def _receipt(task: Task) -> _Draw:
    return lambda rng, book: receipt_sample(rng, book, task)


# How many of what: 220 about receipts, 80 lines read, 56 about labels, 32 absent, 12 of chat.
MIX: tuple[tuple[int, _Draw], ...] = (
    (110, _receipt("total")),
    (60, _receipt("date")),
    (50, _receipt("who")),
    (80, _line("read")),
    (24, _label("price")),
    (16, _label("product")),
    (16, _label("read")),
    (16, _receipt("absent")),
    (8, _label("absent")),
    (8, _line("absent")),
    (12, chat_sample),
)


def evaluation_cases() -> tuple[Case, ...]:
    """All 400, the same ones every time."""
    shelf = _NotingShelf(FONTS_FOLDER / "evaluation")
    rng, book = random.Random(EVALUATION_SEED), replace(evaluation_book(), shelf=shelf)
    cases: list[Case] = []
    for count, draw in MIX:
        for index in range(count):
            sample = _draw_shaped(rng, book, draw, square=index % 3 == 0)
            case = to_case(sample, "first 400")
            kind = "price label" if case.kind == "label" else case.kind
            cases.append(replace(case, kind=kind, font=shelf.picked if case.pngs else ""))
    return tuple(cases)


def to_case(sample: Sample, origin: Literal["first 400", "documents"]) -> Case:
    """What is asked and counted of a sample."""
    first = sample.picture
    return Case(
        origin=origin,
        task=sample.task,
        kind=first.kind if first else "chat",
        pngs=tuple(to_png(picture.image) for picture in sample.pictures),
        question=sample.question,
        answer=sample.answer,
        earlier=sample.earlier,
        tools=sample.tools,
        is_held_out=sample.wording in _HELD_OUT,
        aspect=aspect_of(first.image) if first else "",
        font=first.family if first else "",
    )


def blanked(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The same questions over empty paper, without those that may be answered unseen."""
    return tuple(
        replace(case, pngs=tuple(map(_blank, case.pngs)))
        for case in cases
        if case.task not in _GUESSABLE and not _has_told(case)
    )


def _has_told(case: Case) -> bool:
    """Whether the answer was said before, or only has to say that a call is done."""
    told = "\n".join(text for turn in case.earlier for text in turn)
    return case.answer in told or (case.task == "call" and bool(case.earlier))


def aspect_of(image: Image.Image) -> str:
    ratio = image.width / image.height
    if ratio < 0.75:
        return "tall"
    if ratio == 1:
        return "square"
    return "near square" if ratio < 1.5 else "wide" if ratio < 4 else "strip"


def _draw_shaped(rng: random.Random, book: Book, draw: _Draw, *, square: bool) -> Sample:
    while True:
        sample = draw(rng, book)
        if sample.picture is None or _is_square(sample.picture) == square:
            return sample


def _is_square(picture: Picture) -> bool:
    return picture.image.width == picture.image.height


def to_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _blank(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    mean = image.resize((1, 1), Image.Resampling.BOX)
    return to_png(mean.resize(image.size))
