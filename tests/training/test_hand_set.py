"""The pictures of other tools: thirty, small enough to be cloned, each with what made it."""

from __future__ import annotations

import io
from collections import Counter
from typing import get_args

import pytest
from PIL import Image

from training.drawing.types import DocumentKind, Task
from training.evaluation.cases import Case
from training.evaluation.hand import HAND_FOLDER, hand_cases
from training.evaluation.speed import PAGE
from training.nano import CELL_PIXELS
from training.questions import ABSENT_ANSWER

MOST_CELLS = 1_000
MOST_BYTES = 1_500_000


@pytest.fixture(scope="module")
def named() -> tuple[tuple[str, Case], ...]:
    return hand_cases()


def _cells(png: bytes) -> int:
    with Image.open(io.BytesIO(png)) as image:
        return -(-image.width // CELL_PIXELS) * -(-image.height // CELL_PIXELS)


def test_there_are_thirty_pictures_of_every_kind(named: tuple[tuple[str, Case], ...]) -> None:
    kinds = Counter(case.kind for _, case in named)
    assert len(named) == len({name for name, _ in named}) == 30
    assert {"receipt", "line", *get_args(DocumentKind)} == set(kinds)
    assert min(kinds.values()) >= 2


def test_questions_are_of_many_tasks_and_some_have_no_answer(
    named: tuple[tuple[str, Case], ...],
) -> None:
    tasks = Counter(case.task for _, case in named)
    assert set(tasks) <= set(get_args(Task))
    assert len(tasks) >= 12
    absent = [case.answer for _, case in named if case.task == "absent"]
    assert absent == [ABSENT_ANSWER] * 2


def test_no_picture_is_larger_than_a_page_or_the_set_than_a_clone_may_carry(
    named: tuple[tuple[str, Case], ...],
) -> None:
    pngs = [case.pngs[0] for _, case in named]
    assert max(map(_cells, pngs)) <= MOST_CELLS
    assert sum(map(len, pngs)) <= MOST_BYTES


def test_the_page_that_speed_is_measured_with_has_1000_cells() -> None:
    assert _cells(PAGE.read_bytes()) == MOST_CELLS


def test_the_source_of_every_picture_lies_beside_it(named: tuple[tuple[str, Case], ...]) -> None:
    recipes = "\n".join(path.read_text(encoding="utf-8") for path in HAND_FOLDER.glob("*.sh"))
    for name, _ in named:
        stem = name.removesuffix(".png")
        sources = [path for path in HAND_FOLDER.glob(f"{stem}.*") if path.suffix != ".png"]
        assert sources or name in recipes
