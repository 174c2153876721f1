"""The 400 fixed questions that cortex-nano is judged by.

They are drawn from the evaluation book with a seed of their own: fonts, layouts and word lists that
training never sees. A third of the pictures of every task is square. Blanked cases replace the
picture by its mean colour: what is still answered right then was guessed, not read.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from PIL import Image

from ..drawing.book import Book, evaluation_book
from ..drawing.types import Picture, Sample, Task
from ..questions import chat_sample, label_sample, line_sample, receipt_sample

EVALUATION_SEED = 7_402_611
_Draw = Callable[[random.Random, Book], Sample]


@dataclass(frozen=True, slots=True)
class Case:
    """One question. `png` is None for chat; `kind` is then "chat" as well."""

    task: Task
    kind: str
    square: bool
    png: bytes | None
    question: str
    answer: str


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
    (12, lambda rng, book: chat_sample(rng)),
)


def evaluation_cases() -> tuple[Case, ...]:
    """All 400, the same ones every time."""
    rng, book = random.Random(EVALUATION_SEED), evaluation_book()
    return tuple(
        _to_case(_draw_shaped(rng, book, draw, square=index % 3 == 0))
        for count, draw in MIX
        for index in range(count)
    )


def blanked(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The same questions over empty paper; those that need no picture are left out."""
    return tuple(
        replace(case, png=_blank(case.png))
        for case in cases
        if case.png is not None and case.task != "absent"
    )


def _draw_shaped(rng: random.Random, book: Book, draw: _Draw, *, square: bool) -> Sample:
    while True:
        sample = draw(rng, book)
        if sample.picture is None or _is_square(sample.picture) == square:
            return sample


def _is_square(picture: Picture) -> bool:
    return picture.image.width == picture.image.height


def _to_case(sample: Sample) -> Case:
    picture = sample.picture
    if picture is None:
        return Case(sample.task, "chat", False, None, sample.question, sample.answer)
    png = to_png(picture.image)
    square = _is_square(picture)
    return Case(sample.task, picture.kind, square, png, sample.question, sample.answer)


def to_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _blank(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    mean = image.resize((1, 1), Image.Resampling.BOX)
    return to_png(mean.resize(image.size))
