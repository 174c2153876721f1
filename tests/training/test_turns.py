"""A picture that is asked about once can be asked about again, and its facts know the answers."""

from __future__ import annotations

import random

import pytest

from training.batches import ReadingBatch
from training.document_wordings import WORDINGS as DOCUMENT_WORDINGS
from training.drawing import Book, Sample, training_book
from training.questions import chat_sample, label_sample, receipt_sample, sample, transcript_sample
from training.recipe import MakeBatch, Recipe, Stage
from training.turns import MOST_TURNS, in_turns
from training.wordings import ABSENT_ANSWER


@pytest.fixture(scope="module")
def book() -> Book:
    return training_book()


def _turns(talk: Sample) -> list[tuple[str, str]]:
    return [*talk.earlier, (talk.question, talk.answer)]


def test_every_answer_is_printed_or_absent(book: Book) -> None:
    rng = random.Random(1)
    counts: set[int] = set()
    for draw in (sample, transcript_sample) * 60:
        talk = in_turns(rng, book, draw(rng, book, 1.0))
        counts.add(len(_turns(talk)))
        if talk.picture is not None:
            text = "\n".join(talk.picture.facts.lines)
            assert all(answer in text or answer == ABSENT_ANSWER for _, answer in _turns(talk))
    assert counts >= set(range(1, 10)) and max(counts) <= MOST_TURNS["training"]


def test_the_first_question_stays_among_them_and_none_is_asked_twice(book: Book) -> None:
    rng = random.Random(2)
    for _ in range(20):
        first = receipt_sample(rng, book, "total")
        turns = _turns(in_turns(rng, book, first))
        assert (first.question, first.answer) in turns
        assert len(set(turns)) == len(turns) > 1


def test_what_is_left_out_of_a_label_is_absent_and_lines_are_counted_from_one(book: Book) -> None:
    rng = random.Random(3)
    numbered = {f"{w.replace('{0}', '1')}": "" for w in DOCUMENT_WORDINGS["line"]}
    absent = lines = 0
    for _ in range(120):
        label = label_sample(rng, book, "price")
        assert label.picture is not None
        for question, answer in _turns(in_turns(rng, book, label)):
            absent += answer == ABSENT_ANSWER
            if question in numbered:
                assert answer == label.picture.facts.lines[0]
                lines += 1
    assert absent > 10 and lines > 5


def test_chat_has_no_further_turns(book: Book) -> None:
    chat = chat_sample(random.Random(4), book)
    assert in_turns(random.Random(5), book, chat) == chat


def test_turns_are_a_function_of_the_index_and_come_only_with_documents() -> None:
    def answers(documents: float, turns: float) -> list[list[int]]:
        stage = Stage("whole", 4, 6, 1e-3, 0.5, documents=documents, turns=turns, max_cells=200)
        batches = MakeBatch(Recipe(seed=1, stages=(stage,)))(random.Random("1:2"), 2)
        assert isinstance(batches, list)
        return [_ids(batch) for batch in batches]

    assert answers(0.0, 0.0) == answers(0.0, 1.0)
    assert answers(1e-9, 1.0) == answers(1e-9, 1.0) != answers(1e-9, 0.0)


def _ids(batch: ReadingBatch) -> list[int]:
    return [int(each) for each in batch.token_ids.flatten()]
