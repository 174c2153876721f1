"""The fixed questions about documents, beside the 400: how well whole pages are read.

Drawn from the evaluation book with a seed of their own, worn as training's pages are, in all
wordings. Nothing here is a bar yet; the figures are split by what may make a page hard.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from ..document_questions import KINDS, Asker
from ..document_wordings import WORDINGS
from ..drawing import Picture, Sample, evaluation_book
from .cases import to_png
from .score import Share

DOCUMENTS_SEED = 9_150_377
_EACH_KIND = 40
_MOST_CELLS = 1_000
_HELD_OUT = {wordings[-1] for wordings in WORDINGS.values()}
Ask = Callable[["DocumentCase"], str]


@dataclass(frozen=True, slots=True)
class DocumentCase:
    """A question with its pictures, what was said before, and what it is counted under."""

    pngs: tuple[bytes, ...]
    earlier: tuple[tuple[str, str], ...]
    question: str
    answer: str
    splits: tuple[tuple[str, str], ...]


def document_cases() -> Iterator[DocumentCase]:
    """All of them, the same ones every time. Calls wait for a model whose template has tools."""
    asker = Asker(random.Random(DOCUMENTS_SEED), evaluation_book(), _MOST_CELLS, held_out=True)
    for kind in KINDS:
        samples = (asker.sample(kind) for _ in count())
        for sample in islice((each for each in samples if not each.tools), _EACH_KIND):
            yield _to_case(sample)


def judge_documents(cases: Sequence[DocumentCase], ask: Ask) -> dict[tuple[str, str], Share]:
    """The shares of exact answers, over all and by each split."""
    counted: dict[tuple[str, str], Share] = {}
    for case in cases:
        right = ask(case).strip() == case.answer
        for split in (("all", ""), *case.splits):
            share = counted.get(split, Share(0, 0))
            counted[split] = Share(share.right + right, share.total + 1)
    return counted


def render_documents(counted: dict[tuple[str, str], Share]) -> str:
    """The shares as Markdown, sorted by split."""
    lines = ["| documents by | right | of | % |", "|---|---:|---:|---:|"]
    for (split, name), share in sorted(counted.items()):
        label = f"{split}: {name}" if name else split
        lines.append(f"| {label} | {share.right} | {share.total} | {share.percent:.1f} |")
    return "\n".join(lines)


def _to_case(sample: Sample) -> DocumentCase:
    first = sample.pictures[0]
    splits = (
        ("kind", first.kind),
        ("task", sample.task),
        ("wording", "held out" if sample.wording in _HELD_OUT else "trained"),
        ("aspect", _aspect(first)),
        ("font", first.family),
        ("pictures", str(len(sample.pictures))),
        ("turns", str(1 + len(sample.earlier))),
    )
    pngs = tuple(to_png(picture.image) for picture in sample.pictures)
    return DocumentCase(pngs, sample.earlier, sample.question, sample.answer, splits)


def _aspect(picture: Picture) -> str:
    ratio = picture.image.width / picture.image.height
    if ratio < 0.75:
        return "tall"
    return "near square" if ratio < 1.5 else "wide" if ratio < 4 else "strip"
