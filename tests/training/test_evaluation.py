"""The evaluation asks the same 400 questions each time and counts exactly."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
from PIL import Image

from training.document_questions import KINDS
from training.evaluation.cases import EVALUATION_SEED, Case, blanked, evaluation_cases
from training.evaluation.documents import (
    DocumentCase,
    document_cases,
    judge_documents,
    render_documents,
)
from training.evaluation.hand import HAND_FOLDER, hand_cases
from training.evaluation.report import judge, render, render_answers
from training.evaluation.score import Share, Verdict, bars, score


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return evaluation_cases()


def test_the_seed_is_the_one_that_was_fixed() -> None:
    assert EVALUATION_SEED == 7_402_611


def test_there_are_400_cases_in_the_stated_mix(cases: tuple[Case, ...]) -> None:
    assert len(cases) == 400
    assert Counter(case.kind for case in cases) == {
        "receipt": 236,
        "line": 88,
        "label": 64,
        "chat": 12,
    }
    tasks = Counter(case.task for case in cases)
    assert (tasks["total"], tasks["date"], tasks["who"]) == (110, 60, 50)
    assert (tasks["read"], tasks["price"], tasks["product"]) == (96, 24, 16)
    assert (tasks["absent"], tasks["chat"]) == (32, 12)


def test_the_cases_are_the_same_every_time(cases: tuple[Case, ...]) -> None:
    assert evaluation_cases() == cases


def test_a_third_of_the_pictures_of_every_kind_is_square(cases: tuple[Case, ...]) -> None:
    for kind in ("receipt", "label", "line"):
        of_kind = [case for case in cases if case.kind == kind]
        assert 0.3 < sum(case.square for case in of_kind) / len(of_kind) < 0.4


def test_square_says_what_the_picture_is(cases: tuple[Case, ...]) -> None:
    for case in cases:
        if case.png is not None:
            with Image.open(io.BytesIO(case.png)) as image:
                assert case.square == (image.width == image.height)


def test_blanked_pictures_keep_their_size_and_show_one_colour(cases: tuple[Case, ...]) -> None:
    first = next(case for case in cases if case.png is not None)
    (blank,) = blanked([first])
    assert first.png is not None and blank.png is not None
    with Image.open(io.BytesIO(first.png)) as image, Image.open(io.BytesIO(blank.png)) as empty:
        assert empty.size == image.size
        assert len(empty.getcolors() or ()) == 1


def test_chat_and_absent_cases_are_not_blanked(cases: tuple[Case, ...]) -> None:
    assert len(blanked(cases)) == 400 - 32 - 12
    assert not {"chat", "absent"} & {case.task for case in blanked(cases)}


def test_a_model_that_knows_everything_clears_every_bar(cases: tuple[Case, ...]) -> None:
    verdicts = [Verdict(case, f" {case.answer}\n") for case in cases]
    empty = [Verdict(case, "") for case in blanked(cases)]
    assert all(bar.cleared for bar in bars(score(verdicts, empty)))


def test_a_model_that_guesses_without_looking_misses_the_blanked_bar(
    cases: tuple[Case, ...],
) -> None:
    verdicts = [Verdict(case, case.answer) for case in cases]
    guessed = [Verdict(case, case.answer) for case in blanked(cases)]
    missed = [bar.name for bar in bars(score(verdicts, guessed)) if not bar.cleared]
    assert missed == ["picture blanked"]


def test_nearly_right_is_wrong(cases: tuple[Case, ...]) -> None:
    case = replace(cases[0], answer="$23.40")
    assert Verdict(case, "$23.40 \n").right
    assert not Verdict(case, "$23.4").right
    assert not Verdict(case, "The total is $23.40").right


def test_shapes_are_compared_with_each_other(cases: tuple[Case, ...]) -> None:
    verdicts = [Verdict(case, case.answer if case.square else "") for case in cases]
    result = score(verdicts, [])
    assert result.square.percent == 100
    assert result.other_shapes.percent == 0
    assert not bars(result)[-1].cleared


def test_judge_hands_the_picture_and_the_question_to_the_model(cases: tuple[Case, ...]) -> None:
    seen: list[tuple[bytes | None, str]] = []

    def answer(png: bytes | None, question: str) -> str:
        seen.append((png, question))
        return "?"

    verdicts = judge(cases[:3], answer)
    assert seen == [(case.png, case.question) for case in cases[:3]]
    assert [verdict.given for verdict in verdicts] == ["?"] * 3


def test_the_table_shows_every_task_beside_the_bars(cases: tuple[Case, ...]) -> None:
    table = render(score([Verdict(case, "") for case in cases], []))
    assert "| overall | 0.0 | >= 80 | MISSED |" in table
    assert "| task: total | 0 | 110 | 0.0 |" in table
    assert "| kind: line | 0 | 88 | 0.0 |" in table


def test_the_hand_set_has_eight_pictures_with_their_sources() -> None:
    named = hand_cases()
    assert Counter(case.kind for _, case in named) == {"receipt": 4, "label": 2, "line": 2}
    recipes = (HAND_FOLDER / "make-with-imagemagick.sh").read_text(encoding="utf-8")
    for name, _ in named:
        assert (HAND_FOLDER / name).with_suffix(".html").exists() or name in recipes


def test_answers_are_shown_beside_the_truth() -> None:
    named = hand_cases()
    verdicts = [
        Verdict(case, case.answer if i == 0 else "a|b") for i, (_, case) in enumerate(named)
    ]
    table = render_answers([name for name, _ in named], verdicts)
    assert "| $11.40 | $11.40 | right |" in table
    assert "| a\\|b | wrong |" in table
    assert table.endswith("1 of 8 right")


def test_document_cases_are_the_same_every_time_and_split_by_what_makes_them_hard() -> None:
    cases = [*document_cases()]
    assert [*islice(document_cases(), 20)] == cases[:20]
    splits = Counter(split for case in cases for split in case.splits)
    assert {splits["kind", kind] for kind in KINDS} == {40}
    assert splits["wording", "held out"] > 50
    assert min(splits["aspect", name] for name in ("tall", "near square", "wide", "strip")) >= 10
    assert splits["pictures", "2"] > 10
    assert len([name for split, name in splits if split == "font"]) >= 5


def test_documents_are_counted_under_each_of_their_splits() -> None:
    right = DocumentCase((), (), "Total?", "$5", (("kind", "invoice"), ("font", "a")))
    wrong = replace(right, answer="$6", splits=(("kind", "invoice"), ("font", "b")))

    counted = judge_documents([right, wrong], lambda case: " $5\n")

    assert counted["all", ""] == counted["kind", "invoice"] == Share(1, 2)
    assert (counted["font", "a"], counted["font", "b"]) == (Share(1, 1), Share(0, 1))
    assert "| kind: invoice | 1 | 2 | 50.0 |" in render_documents(counted)
