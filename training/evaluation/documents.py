"""The questions about documents: how well whole pages are read, worn as training's pages are.

Drawn from the evaluation book with a seed of their own, in all wordings. First as many of each kind
of document, as they come; then more of each task that a figure is told of.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

from ..document_questions import KINDS, Asker
from ..drawing import Book, Picture, Sample, draw_document, evaluation_book
from ..drawing.types import DocumentKind, Task
from .cases import Case, to_case

DOCUMENTS_SEED = 9_150_377
_EACH_KIND = 40
_MOST_CELLS = 1_000
_MOST_TRIES = 20
# At least so many of each; the kinds are those that are asked for what is missing, in turn.
LEAST: tuple[tuple[Task, int, tuple[DocumentKind, ...]], ...] = (
    ("total", 24, ("invoice",)),
    ("cell", 48, ("table",)),
    ("row", 24, ("table",)),
    ("item", 24, ("invoice",)),
    ("count", 20, ("table", "invoice", "chart")),
    ("bar", 24, ("chart",)),
    ("highest", 20, ("chart",)),
    ("lowest", 16, ("chart",)),
    ("switch", 20, ("dialog",)),
    ("absent", 48, KINDS),
    ("there", 32, KINDS),
    ("call", 32, KINDS),
)


def document_cases() -> Iterator[Case]:
    """All of them, the same ones every time."""
    rng, book = random.Random(DOCUMENTS_SEED), evaluation_book()
    asker = Asker(rng, book, _MOST_CELLS, held_out=True)
    counted: Counter[Task] = Counter()
    for kind in KINDS:
        for _ in range(_EACH_KIND):
            case = to_case(asker.sample(kind), "documents")
            counted[case.task] += 1
            yield case
    for task, least, kinds in LEAST:
        for index in range(least - counted[task]):
            kind = kinds[index % len(kinds)]
            yield to_case(_asked_for(task, kind, rng, book, asker), "documents")


def _asked_for(
    task: Task, kind: DocumentKind, rng: random.Random, book: Book, asker: Asker
) -> Sample:
    """A question of this task; pages without one are put away."""
    asking: dict[Task, Callable[[Picture], Sample]] = {
        "absent": asker.absent, "there": asker.there, "call": asker.call,
    }  # fmt: skip
    ask = asking.get(task, asker.about)
    while True:
        picture = draw_document(rng, book, kind, _MOST_CELLS)
        for _ in range(_MOST_TRIES):
            sample = ask(picture)
            if sample.task == task:
                return sample
