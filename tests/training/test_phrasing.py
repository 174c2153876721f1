"""Training asks in far more wordings than the evaluation, and never in those held out from it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from training.document_questions import KINDS, Asker
from training.document_wordings import WORDINGS as DOCUMENT_WORDINGS
from training.drawing import Book, draw_document, evaluation_book, training_book
from training.drawing.types import Task
from training.phrases import CORES
from training.phrasing import of_two, phrase, places_of, reworded, wish_for_form, wished
from training.questions import vary
from training.turns import MOST_TURNS, unrepeated
from training.wordings import CHAT, MORE_CHAT, WORDINGS

HELD_OUT = [wordings[-1] for wordings in DOCUMENT_WORDINGS.values()]
PLACES = ("on this invoice", "in the picture", "here", "on the page", "on it")


def _bare(question: str) -> str:
    """Without case, marks and politeness."""
    words = re.findall(r"[\w{}]+", question.casefold())
    return f" {' '.join(word for word in words if word not in ('please', 'pls'))} "


def _phrases(task: str, count: int) -> Iterator[str]:
    rng = random.Random(f"phrases:{task}")
    return (phrase(rng, task, PLACES) for _ in range(count))


def test_every_task_has_cores() -> None:
    assert set(CORES) == {*DOCUMENT_WORDINGS, *WORDINGS, "shop"}


@pytest.mark.parametrize("task", CORES)
def test_no_wording_that_is_held_out_is_ever_part_of_training_s_own(task: str) -> None:
    rng, held_out = random.Random(1), [_bare(each) for each in HELD_OUT]
    for each in _phrases(task, 4_000):
        question = _bare(vary(rng, each))
        assert not [held for held in held_out if held in question], each


def test_no_wording_that_is_held_out_is_known_under_another_task_or_among_the_receipts() -> None:
    held_out = {_bare(each) for each in HELD_OUT}
    known = [each for task in DOCUMENT_WORDINGS.values() for each in task[:-1]]
    known += [each for task in WORDINGS.values() for each in task]
    known += [each for questions, _ in CHAT for each in questions]
    known += [each for questions in MORE_CHAT for each in questions]
    assert not held_out & {_bare(each) for each in known}


@pytest.mark.parametrize("task", sorted({*CORES} - {"call", "dearer", "cheaper"}))
def test_a_task_is_asked_in_over_a_thousand_wordings(task: str) -> None:
    assert len({_bare(each) for each in _phrases(task, 6_000)}) > 1_000


@pytest.mark.parametrize("task", ["call", "dearer", "cheaper"])
def test_a_task_without_a_place_is_asked_in_many_wordings(task: str) -> None:
    rng = random.Random(2)
    assert len({_bare(phrase(rng, task)) for _ in range(6_000)}) > 150


@pytest.mark.parametrize("task", DOCUMENT_WORDINGS)
def test_a_phrase_has_the_names_that_the_known_wordings_have(task: Task) -> None:
    names = {frozenset(re.findall(r"{\d}", each)) for each in DOCUMENT_WORDINGS[task]}
    for each in _phrases(task, 500):
        assert set(re.findall(r"{\d}", each)) in names, each
        assert each[0] == each[0].upper() and "{}" not in each


def test_what_says_where_already_takes_no_second_place_behind_it() -> None:
    rng, placed = random.Random(9), 0
    for task in CORES:
        for each in (phrase(rng, task, ("in the attic",)) for _ in range(300)):
            placed += "in the attic" in each.lower()
            assert not re.search(r"\b(here|on it|next to it|at the top)\b.* in the attic", each)
            assert each.lower().count("in the attic") <= 1
    assert placed > 600


def test_of_several_tools_the_one_that_is_meant_is_named() -> None:
    rng, book, naming = random.Random(3), training_book(), DOCUMENT_WORDINGS["call"][2:]
    assert all("{1}" in reworded(rng, book, naming, "call") for _ in range(300))


def test_a_third_of_training_s_questions_stays_in_the_known_wordings() -> None:
    rng, book, known = random.Random(4), training_book(), DOCUMENT_WORDINGS["total"][:-1]
    asked = [reworded(rng, book, known, "total", PLACES) for _ in range(3_000)]
    assert 0.3 < sum(each in known for each in asked) / len(asked) < 0.45


def test_the_evaluation_asks_in_the_known_wordings_alone() -> None:
    rng, book, known = random.Random(5), evaluation_book(), DOCUMENT_WORDINGS["key"]
    assert {reworded(rng, book, known, "key", PLACES) for _ in range(500)} == {*known}
    assert of_two(rng, book, "first", "Total?") == "In the first picture: Total?"
    assert {_with_a_wish(rng, book) for _ in range(300)} == {
        (False, "Total?"),
        (True, "Total? Answer in a sentence."),
        (True, "Total? Use a whole sentence."),
        (True, "Total? Reply with a full sentence."),
    }


def _with_a_wish(rng: random.Random, book: Book) -> tuple[bool, str]:
    is_sentence, wish = wish_for_form(rng, book)
    return is_sentence, wished("Total?", wish)


def test_sentences_are_wished_for_in_many_words_and_so_is_the_bare_value() -> None:
    rng, book = random.Random(6), training_book()
    wishes = {_with_a_wish(rng, book) for _ in range(5_000)}
    assert len({text for is_sentence, text in wishes if is_sentence}) > 40
    assert len({text for is_sentence, text in wishes if not is_sentence}) > 30
    assert all(("sentence" in text) == is_sentence for is_sentence, text in wishes)


def test_the_place_fits_what_is_shown() -> None:
    rng, book = random.Random(7), training_book()
    places = {kind: places_of(draw_document(rng, book, kind, 200)) for kind in KINDS}
    assert "on this ticket" in places["ticket"] and "on this ticket" not in places["table"]
    assert all("in the picture" in each for each in places.values())


def test_a_page_is_not_asked_the_same_thing_twice() -> None:
    rng, book = random.Random(8), training_book()
    asker = Asker(rng, book, 200)
    counts: set[int] = set()
    for kind in KINDS * 3:
        page = draw_document(rng, book, kind, 200)
        counts.add(len(asker.in_turns(page).earlier) + 1)
        talk = unrepeated([asker.about(page) for _ in range(20)])
        assert len({each.about for each in talk}) == len(talk) < 20
    assert 7 < max(counts) <= MOST_TURNS["training"]
