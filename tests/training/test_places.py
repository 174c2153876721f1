"""Where a page says what is asked and answered is told by what was drawn on it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from PIL import Image

from training.batches import see
from training.document_questions import Asker
from training.drawing import training_book
from training.drawing.types import Fact, Facts, Glyph, Picture
from training.nano import encode
from training.places import Print, answer_points, key_points, question_points
from training.wordings import ABSENT_ANSWER

COLUMNS = 8
FIRST = 3  # token of a page: nothing may depend on its being the first


def page_of(rows: Sequence[Sequence[str]], facts: Sequence[Fact] = ()) -> Picture:
    """Each word in a row of cells of its own, its characters in the middle of one cell each."""
    glyphs: list[Glyph] = []
    for row, words in enumerate(rows):
        column = 0
        for word in words:
            for number, char in enumerate(word):
                x, y = 32 * column + 16.0, 32 * row + 16.0
                glyphs.append(Glyph(char, x, y, begins_word=number == 0))
                column += 1
    image = Image.new("RGB", (32 * COLUMNS, 32 * len(rows)))
    return Picture(image, tuple(glyphs), Facts((), known=tuple(facts)), "form")


def print_of(picture: Picture) -> Print:
    return Print(picture, COLUMNS, 1.0, 1.0, FIRST)


def cell(row: int, column: int) -> int:
    return FIRST + row * COLUMNS + column


def test_each_byte_of_an_answer_points_from_the_byte_before_it_to_its_cell() -> None:
    page = print_of(page_of([["Fee", "£12"], ["Tax", "3%"]]))

    points = list(answer_points("£12", 100, [page]))

    assert [(p.query, p.targets) for p in points] == [
        (99, (cell(0, 3),)), (100, (cell(0, 3),)), (101, (cell(0, 4),)), (102, (cell(0, 5),)),
    ]  # fmt: skip


def test_of_a_sentence_or_a_call_the_printed_words_point() -> None:
    page = print_of(page_of([["Fee", "$120"]]))
    for answer in ("The Fee is $120.", '<tool_call>\n{"name": "Fee", "value": "$120"}'):
        queries = [p.query for p in answer_points(answer, 100, [page])]
        tokens = encode(answer)
        assert bytes(tokens[q - 99] for q in queries) == b"Fee$120"


@pytest.mark.parametrize("sought", ["12", "2", "Fe", "ee", "2.50"])
def test_a_part_of_a_word_is_not_found(sought: str) -> None:
    page = print_of(page_of([["Fee:", "12.50"]]))
    assert not page.find(sought)
    assert page.find("Fee") and page.find("12.50")


def test_what_is_not_there_or_is_everywhere_points_nowhere() -> None:
    page = print_of(page_of([["find", "that"], ["7", "7", "7", "7"]]))
    for answer in (ABSENT_ANSWER, "Yes", "7"):
        assert not list(answer_points(answer, 100, [page]))


def test_a_name_that_is_asked_for_points_to_itself_from_its_third_byte_on() -> None:
    picture = page_of([["Fee", "no."], ["12"]], [Fact("key", ("Fee no.",), "12")])
    question = "What is the fee no.?"

    points = list(question_points(question, 50, [picture], [print_of(picture)]))

    assert [question[p.query - 50] for p in points] == ["e", "n", "o", "."]
    assert [p.targets for p in points] == [(cell(0, column),) for column in (2, 3, 4, 5)]


def test_a_value_points_to_the_name_of_its_row_and_the_head_of_its_column() -> None:
    picture = page_of(
        [["Item", "Qty"], ["Tea", "10"], ["Rum", "10"]],
        [Fact("cell", ("Tea", "Qty"), "10"), Fact("cell", ("Rum", "Qty"), "10")],
    )

    beside, above = key_points(picture, print_of(picture))

    assert {(p.query, p.targets) for p in beside} == {
        (cell(row, column), tuple(cell(row, c) for c in (0, 1, 2)))
        for row in (1, 2)
        for column in (3, 4)
    }
    assert {p.query for p in above} == {p.query for p in beside}
    assert {p.targets for p in above} == {tuple(cell(0, c) for c in (4, 5, 6))}


def test_on_drawn_documents_points_show_what_they_say() -> None:
    rng = random.Random(4)
    asker = Asker(rng, training_book(), 200, turns=1.0)
    shown = 0
    for kind in ("invoice", "form", "table", "letter"):
        sample = asker.sample(kind)
        for picture in sample.pictures:
            seen = see(picture, 200 * 32 * 32)
            rows, columns = (side * 16 // 32 for side in seen.grid[1:])
            width, height = picture.image.size
            page = Print(picture, columns, columns * 32 / width, rows * 32 / height, 0)
            chars: dict[int, str] = {}
            for number, glyph in enumerate(picture.glyphs):
                chars[page.token(number)] = chars.get(page.token(number), "") + glyph.char
            for point in answer_points(sample.answer, 1, [page]):
                said = sample.answer.encode()[point.query : point.query + 1]
                assert all(said in chars[target].encode() for target in point.targets)
                shown += 1
            for points in key_points(picture, page):
                assert all(target < p.query for p in points for target in p.targets)
                shown += len(points)
    assert shown > 50
