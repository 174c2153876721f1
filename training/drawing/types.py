"""The values that drawing hands on: a picture, where its characters are, what it says.

Nothing here draws. Positions are pixels of the picture as drawn; whoever resizes the picture
scales them along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PIL import Image

Kind = Literal["receipt", "label", "line", "page"]
Task = Literal[
    "total", "date", "who", "read", "price", "product", "item", "absent", "chat"
]  # what a question is about; scores are split by it


@dataclass(frozen=True, slots=True)
class Glyph:
    """One printed character and its centre. Spaces have none."""

    char: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture says, every value exactly as printed. None: it is not printed anywhere.

    `lines` is the text from top to bottom, with one space where the print leaves a gap.
    """

    lines: tuple[str, ...]
    shop: str | None = None
    date: str | None = None
    total: str | None = None
    product: str | None = None
    price: str | None = None
    items: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """An RGB picture, its glyphs in reading order, and what it says."""

    image: Image.Image
    glyphs: tuple[Glyph, ...]
    facts: Facts
    kind: Kind


@dataclass(frozen=True, slots=True)
class Sample:
    """One question with its one right answer; without a picture it is chat."""

    picture: Picture | None
    question: str
    answer: str
    task: Task
