"""Everything one side draws from: its fonts, layouts and word lists.

There are two sides, training and evaluation. They share drawing code and a short list of question
wordings and nothing else; `tests/training` holds them to it by hash.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .documents.layouts import DocumentLayout
from .documents.layouts_evaluation import EVALUATION_DOCUMENTS
from .documents.layouts_training import TRAINING_DOCUMENTS
from .fonts import FONTS_FOLDER, FontShelf
from .layouts import Layouts
from .layouts_evaluation import EVALUATION_LAYOUTS
from .layouts_training import TRAINING_LAYOUTS
from .made_up import Lists, add_made_up
from .made_up_layouts import add_made_up_documents, add_made_up_layouts
from .printed import Scraps

WORDS_FOLDER = Path(__file__).parent.parent / "words"
_MADE_UP_SEED = 9_071_155
Side = Literal["training", "evaluation"]


@dataclass(frozen=True, slots=True)
class Words:
    """The word lists of one side; each field is one file."""

    words: tuple[str, ...]
    syllables: tuple[str, ...]
    products: tuple[str, ...]
    shop_first: tuple[str, ...]
    shop_second: tuple[str, ...]
    shop_kind: tuple[str, ...]
    streets: tuple[str, ...]
    towns: tuple[str, ...]
    payments: tuple[str, ...]
    number_labels: tuple[str, ...]
    change_labels: tuple[str, ...]
    phone_patterns: tuple[str, ...]
    thanks: tuple[str, ...]
    # For documents; a bar parts what belongs together, as in "invoice|date|Due date".
    keys: tuple[str, ...]
    people: tuple[str, ...]
    tables: tuple[str, ...]
    charts: tuple[str, ...]
    commands: tuple[str, ...]
    outputs: tuple[str, ...]
    sentences: tuple[str, ...]
    titles: tuple[str, ...]
    switches: tuple[str, ...]
    buttons: tuple[str, ...]
    item_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Book:
    side: Side
    shelf: FontShelf
    layouts: Layouts
    documents: tuple[DocumentLayout, ...]
    words: Words
    scraps: Scraps


def training_book() -> Book:
    """What training draws from: its lists and layouts with ones made up beside them, the same every
    time."""
    apart = [entry for entries in _lists("evaluation").values() for entry in entries]
    lists = add_made_up(random.Random(_MADE_UP_SEED), _lists("training"), apart)
    rng = random.Random(_MADE_UP_SEED)
    layouts = add_made_up_layouts(rng, TRAINING_LAYOUTS, EVALUATION_LAYOUTS)
    documents = add_made_up_documents(rng, TRAINING_DOCUMENTS, EVALUATION_DOCUMENTS)
    return _book("training", lists, layouts, documents)


def evaluation_book() -> Book:
    return _book("evaluation", _lists("evaluation"), EVALUATION_LAYOUTS, EVALUATION_DOCUMENTS)


def _book(
    side: Side, lists: Lists, layouts: Layouts, documents: tuple[DocumentLayout, ...]
) -> Book:
    words, lines = Words(**lists), layouts.lines[0]
    scraps = Scraps(
        words.words,
        words.syllables,
        words.products,
        words.phone_patterns,
        lines.date_patterns,
        lines.moneys,
    )
    return Book(side, FontShelf(FONTS_FOLDER / side), layouts, documents, words, scraps)


def _lists(side: str) -> Lists:
    return {name: _read(side, name) for name in Words.__dataclass_fields__}


def _read(side: str, name: str) -> tuple[str, ...]:
    text = (WORDS_FOLDER / side / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
