"""The values that drawing hands on: a picture, where its characters are, what it says.

Nothing here draws. Positions are pixels of the picture as drawn; whoever resizes the picture
scales them along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PIL import Image

DocumentKind = Literal[
    "invoice", "form", "label", "letter", "ticket", "table", "chart", "terminal", "dialog"
]
Kind = Literal["receipt", "line", "page"] | DocumentKind
Task = Literal[
    "total", "date", "who", "read", "price", "product", "item", "absent", "chat",
    "to", "heading", "key", "cell", "row", "count", "bar", "highest", "lowest", "switch",
    "command", "line", "there", "dearer", "cheaper", "call",
]  # fmt: skip  # what a question is about; scores are split by it


@dataclass(frozen=True, slots=True)
class Glyph:
    """One printed character and its centre. Spaces have none."""

    char: str
    x: float
    y: float
    begins_word: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a document says: what is asked, by which names, and what is right."""

    task: Task
    names: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture says, every value exactly as printed. None: it is not printed anywhere.

    `lines` is the text from top to bottom, with one space where the print leaves a gap. A document
    tells all it says in `known`; what is asked there twice with two answers is nobody's question.
    """

    lines: tuple[str, ...]
    shop: str | None = None
    date: str | None = None
    total: str | None = None
    product: str | None = None
    price: str | None = None
    items: tuple[tuple[str, str], ...] = ()
    known: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """An RGB picture, its glyphs in reading order, and what it says.

    A document also tells the family it is set in and the size of its smallest type.
    """

    image: Image.Image
    glyphs: tuple[Glyph, ...]
    facts: Facts
    kind: Kind
    family: str = ""
    text_px: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One question with its one right answer; without a picture it is chat.

    `earlier` are the questions and answers before it about the same pictures, `tools` what may be
    called, as one line of JSON each, and `wording` the question before its names were put in. Two
    samples of a picture with the same `about` ask for the same thing.
    """

    picture: Picture | None
    question: str
    answer: str
    task: Task
    second: Picture | None = None
    earlier: tuple[tuple[str, str], ...] = ()
    tools: tuple[str, ...] = ()
    wording: str = ""
    about: tuple[str, ...] = ()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(each for each in (self.picture, self.second) if each is not None)
