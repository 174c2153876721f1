"""Questions about documents have one right answer, and the picture determines it."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest
import torch

from training.batches import IGNORED, TowerBatch, reading_batches
from training.document_questions import KINDS, Asker, askable
from training.document_wordings import SENTENCES, WORDINGS
from training.drawing import Book, Fact, Sample, training_book
from training.nano import token_id
from training.wordings import ABSENT_ANSWER

torch.set_num_threads(1)
UNPRINTED = {"count", "switch", "there", "dearer", "cheaper", "call", "absent"}
MAX_CELLS = 400


@pytest.fixture(scope="module")
def book() -> Book:
    return training_book()


@pytest.fixture(scope="module")
def samples(book: Book) -> list[Sample]:
    asker = Asker(random.Random(1), book, MAX_CELLS)
    return [asker.sample(kind) for _ in range(16) for kind in KINDS]


def _text(sample: Sample) -> str:
    return "\n".join(line for p in sample.pictures for line in p.facts.lines)


def test_every_answer_that_is_a_value_is_printed(samples: list[Sample]) -> None:
    for each in samples:
        if each.task not in UNPRINTED and each.task not in SENTENCES:
            assert each.answer in _text(each) or each.answer == "Done.", each.question


def test_whole_sentences_hold_a_value_that_is_printed(samples: list[Sample]) -> None:
    wished = [each for each in samples if "sentence" in each.question]
    assert len(wished) > 5
    for each in wished:
        if each.task not in UNPRINTED:
            assert each.answer.endswith(".")
            facts = [f for p in each.pictures for f in p.facts.known if f.task == each.task]
            assert any(f.value in each.answer for f in facts), each.answer


def test_what_is_absent_is_nowhere_printed(book: Book) -> None:
    asker = Asker(random.Random(2), book, MAX_CELLS)
    keys = {entry.split("|")[2].casefold() for entry in book.words.keys}
    for kind in KINDS * 3:
        page = asker.sample(kind).pictures[0]
        asked = asker.absent(page)
        assert asked.answer == ABSENT_ANSWER
        named = [key for key in keys if key in asked.question.casefold()]
        if "{0}" in asked.wording:
            longest = max(named, key=len)
            assert longest not in "\n".join(page.facts.lines).casefold()
        asked = asker.there(page)
        quoted = asked.question.split('"')[1]
        is_printed = quoted.casefold() in "\n".join(page.facts.lines).casefold()
        assert asked.answer == ("Yes" if is_printed else "No")


def test_a_fact_with_two_answers_is_not_asked() -> None:
    known = [Fact("date", (), "1 May"), Fact("date", (), "2 May"), Fact("who", (), "Ann")]
    twice = [Fact("key", ("Seat",), "4"), Fact("key", ("seat",), "5")]
    assert set(askable([*known, *twice])) == {"who"}


def test_the_dearer_one_has_the_higher_amount(book: Book) -> None:
    asker = Asker(random.Random(3), book, MAX_CELLS)
    compared = Counter[str]()
    for kind in ("invoice", "label", "ticket") * 10:
        each = asker.about_two(kind)
        if each.task in ("dearer", "cheaper"):
            amounts = [
                {f.value for f in p.facts.known if f.task in ("total", "price")}
                for p in each.pictures
            ]
            (first,), (second,) = ({_cents(value) for value in values} for values in amounts)
            says_first = "first" in each.answer
            assert says_first == ((first > second) == (each.task == "dearer"))
            compared[kind] += 1
    assert min(compared[kind] for kind in ("invoice", "label", "ticket")) >= 3
    assert sum(compared.values()) < 25


def test_pages_without_amounts_are_not_compared(book: Book) -> None:
    asker = Asker(random.Random(9), book, MAX_CELLS)
    for kind in ("form", "letter", "chart"):
        each = asker.about_two(kind)
        assert each.second is not None and re.search("first|second", each.question)


def _cents(amount: str) -> int:
    return int("".join(filter(str.isdigit, amount)))


def test_calls_are_json_with_a_tool_that_was_offered(book: Book) -> None:
    asker = Asker(random.Random(4), book, MAX_CELLS)
    calls = 0
    for kind in KINDS * 3:
        each = asker.sample(kind)
        asked = asker.call(each.pictures[0])
        for _, answer in (*asked.earlier, (asked.question, asked.answer)):
            if answer.startswith("<tool_call>"):
                call = json.loads(answer.split("\n")[1])
                assert call["arguments"]["value"] in _text(asked)
                names = [json.loads(tool)["function"]["name"] for tool in asked.tools]
                assert call["name"] in names
                calls += 1
    assert calls > 5


def test_all_tasks_come_up_and_wordings_held_out_only_where_asked(
    samples: list[Sample], book: Book
) -> None:
    held_out = {wordings[-1] for wordings in WORDINGS.values()}
    assert {"key", "line", "there", "absent"} <= {each.task for each in samples}
    assert len({each.task for each in samples}) >= 15
    assert not {each.wording for each in samples} & held_out
    asker = Asker(random.Random(5), book, MAX_CELLS, held_out=True)
    judged = Counter(asker.sample(k).wording in held_out for k in KINDS * 6)
    assert judged[True] > 5 and judged[False] > 15


def test_several_turns_and_two_pictures_make_a_batch(book: Book) -> None:
    asker = Asker(random.Random(6), book, 200)
    two = asker.about_two("label")
    page = asker.sample("form").pictures[0]
    talk = asker.in_turns(page)
    asked = [two, talk, asker.call(page)]

    (batch,) = reading_batches(asked, rows_per_batch=3, max_pixels=200 * 1024)

    answers = [a for s in asked for a in (*(a for _, a in s.earlier), s.answer)]
    ends = (batch.labels == token_id("<|im_end|>")).sum().item()
    assert ends == len(answers)
    assert isinstance(batch.pictures, TowerBatch)
    pads = (batch.token_ids == token_id("<|image_pad|>")).sum().item()
    assert pads == len(batch.pictures.targets)
    assert len(batch.pictures.grids) == sum(len(s.pictures) for s in asked)
    assert not ((batch.labels != IGNORED) & (batch.token_ids == token_id("<|image_pad|>"))).any()
