"""Questions have one right answer, and it is printed in the picture."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from training.drawing import Book, Sample, training_book
from training.questions import (
    line_sample,
    most_characters,
    receipt_sample,
    sample,
    vary,
)
from training.wordings import ABSENT_ANSWER, CHAT, WORDINGS


@pytest.fixture(scope="module")
def book() -> Book:
    return training_book()


def _samples(book: Book, level: float, count: int) -> list[Sample]:
    rng = random.Random(21)
    return [sample(rng, book, level) for _ in range(count)]


def test_every_answer_about_a_picture_is_printed_in_it(book: Book) -> None:
    for each in _samples(book, 1.0, 300):
        if each.picture is not None and each.task != "absent":
            assert each.answer in "\n".join(each.picture.facts.lines), each.task


def test_reading_answers_the_whole_text(book: Book) -> None:
    for each in _samples(book, 1.0, 300):
        if each.task == "read":
            assert each.picture is not None
            assert each.answer == "\n".join(each.picture.facts.lines)
            assert each.answer.count("\n") <= 2


def test_what_is_asked_as_absent_is_absent(book: Book) -> None:
    rng = random.Random(22)
    for _ in range(200):
        each = rng.choice((receipt_sample, _absent_line))(rng, book, "absent")
        assert each.answer == ABSENT_ANSWER
        assert each.task == "absent"
        assert each.picture is not None
        facts = each.picture.facts
        if (task := each.about[0]) == "date":
            assert facts.date is None
        elif task == "who":
            assert facts.shop is None
        elif task == "total":
            assert facts.total is None


def _absent_line(rng: random.Random, book: Book, task: str) -> Sample:
    assert task == "absent"
    return line_sample(rng, book, "absent", 20)


def test_the_first_level_asks_for_lines_of_four_characters_only(book: Book) -> None:
    samples = _samples(book, 0.0, 100)
    assert {each.task for each in samples} == {"read"}
    assert max(len(each.answer) for each in samples) <= 4


@pytest.mark.parametrize(("level", "longest"), [(0.0, 4), (0.3, 8), (0.5, 14), (1.0, 28)])
def test_lines_grow_with_the_level(level: float, longest: int) -> None:
    assert most_characters(level) == longest


def test_labels_come_before_receipts(book: Book) -> None:
    kinds = {each.picture.kind for each in _samples(book, 0.5, 200) if each.picture is not None}
    assert kinds == {"line", "label"}


def test_the_last_level_asks_everything_in_its_share(book: Book) -> None:
    tasks = Counter(each.task for each in _samples(book, 1.0, 600))
    assert set(tasks) == {*WORDINGS, "absent", "chat"}
    assert 30 <= tasks["absent"] <= 80
    assert 10 <= tasks["chat"] <= 45
    assert tasks["total"] > tasks["date"] > tasks["item"]


def test_every_question_has_at_least_six_wordings() -> None:
    assert all(len(set(wordings)) >= 6 for wordings in WORDINGS.values())
    assert all(len(set(questions)) >= 6 for questions, _ in CHAT)


def test_chat_has_no_picture_and_a_fixed_answer(book: Book) -> None:
    answers = {answer for _, answer in CHAT}
    chats = [each for each in _samples(book, 1.0, 200) if each.task == "chat"]
    assert chats
    assert all(each.picture is None and each.answer in answers for each in chats)


def test_wordings_vary_without_losing_their_words() -> None:
    rng = random.Random(23)
    varied = {vary(rng, "What is the total?") for _ in range(300)}
    assert len(varied) >= 5
    assert all("what is the total" in question.lower() for question in varied)
    assert {vary(rng, "Hi") for _ in range(300)} == {"Hi", "hi", "HI", "Hi, please"}


def test_the_same_seed_asks_the_same_question(book: Book) -> None:
    first, second = (sample(random.Random(24), book, 1.0) for _ in range(2))
    assert (first.question, first.answer) == (second.question, second.answer)
