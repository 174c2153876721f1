"""The evaluation asks the same questions each time and counts exactly."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from PIL import Image

from training.document_questions import KINDS
from training.evaluation.cases import EVALUATION_SEED, Case, blanked, evaluation_cases
from training.evaluation.documents import LEAST, document_cases
from training.evaluation.report import as_json, judge, render, render_answers, render_wrong
from training.evaluation.score import Bar, Share, Verdict, bars, splits
from training.evaluation.speed import PAGE, Streams, first_tokens
from training.questions import ABSENT_ANSWER

# Over task, question and answer of the first 400: figures of all editions can be compared.
FIRST_400 = "a6467f5527bff59d42a247e1ce773f8ce5fba0a6ea69cb3c28381207afef5f62"
# Over the same of all 544 about documents, with what was said before and the tools on offer.
DOCUMENTS = "17b63e6f2696af76be7aa66e4ab40814e7366146696d96c7fb6c8ea397fa6d0c"
NO_PICTURE_NEEDED = {"absent", "chat", "there", "switch", "dearer", "cheaper"}


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return evaluation_cases()


@pytest.fixture(scope="module")
def documents() -> tuple[Case, ...]:
    return tuple(document_cases())


def _right(cases: tuple[Case, ...]) -> tuple[Verdict, ...]:
    return judge(cases, lambda case: f" {case.answer}\n")


def _bar(told: tuple[Bar, ...], name: str) -> Bar:
    return next(bar for bar in told if bar.name == name)


def test_the_first_400_questions_are_the_ones_that_were_fixed(cases: tuple[Case, ...]) -> None:
    asked = hashlib.sha256()
    for case in cases:
        asked.update("\0".join([case.task, case.question, case.answer]).encode() + b"\1")
    assert (EVALUATION_SEED, asked.hexdigest()) == (7_402_611, FIRST_400)


def test_the_questions_about_documents_are_the_ones_that_were_fixed(
    documents: tuple[Case, ...],
) -> None:
    asked = hashlib.sha256()
    for case in documents:
        earlier = [text for turn in case.earlier for text in turn]
        told = [case.task, case.question, case.answer, *earlier, *case.tools]
        asked.update("\0".join(told).encode() + b"\1")
    assert (len(documents), asked.hexdigest()) == (544, DOCUMENTS)


def test_there_are_400_cases_in_the_stated_mix(cases: tuple[Case, ...]) -> None:
    assert len(cases) == 400
    assert Counter(case.kind for case in cases) == {
        "receipt": 236,
        "line": 88,
        "price label": 64,
        "chat": 12,
    }
    tasks = Counter(case.task for case in cases)
    assert (tasks["total"], tasks["date"], tasks["who"]) == (110, 60, 50)
    assert (tasks["read"], tasks["price"], tasks["product"]) == (96, 24, 16)
    assert (tasks["absent"], tasks["chat"]) == (32, 12)


def test_the_cases_are_the_same_every_time(
    cases: tuple[Case, ...], documents: tuple[Case, ...]
) -> None:
    assert evaluation_cases() == cases
    assert tuple(islice(document_cases(), 20)) == documents[:20]


def test_a_third_of_the_first_pictures_of_every_kind_is_square(cases: tuple[Case, ...]) -> None:
    for kind in ("receipt", "price label", "line"):
        of_kind = [case.aspect for case in cases if case.kind == kind]
        assert 0.3 < of_kind.count("square") / len(of_kind) < 0.4


def test_every_picture_tells_its_aspect_and_its_font(
    cases: tuple[Case, ...], documents: tuple[Case, ...]
) -> None:
    for case in (*cases, *documents):
        assert bool(case.pngs) == bool(case.aspect) == bool(case.font)
        if case.pngs:
            with Image.open(io.BytesIO(case.pngs[0])) as image:
                assert (case.aspect == "square") == (image.width == image.height)
    assert len({case.font for case in cases if case.font}) == 7


def test_each_kind_of_document_is_asked_about_and_each_bar_has_its_cases(
    cases: tuple[Case, ...], documents: tuple[Case, ...]
) -> None:
    kinds = Counter(case.kind for case in documents)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 40
    tasks = Counter(case.task for case in documents)
    assert all(tasks[task] >= least for task, least, _ in LEAST)
    told = bars(_right((*cases, *documents)), _right(blanked(cases[:40])))
    assert min(bar.of for bar in told) >= 40


def test_documents_come_in_all_that_may_make_them_hard(documents: tuple[Case, ...]) -> None:
    counted = {(each.by, each.name): each.share.total for each in splits(_right(documents))}
    assert counted["wording", "held out"] > 50
    assert min(counted["aspect", name] for name in ("tall", "near square", "wide", "strip")) >= 10
    assert counted["pictures", "2"] > 10
    assert counted["turns", "2"] > 10
    assert len([name for by, name in counted if by == "font"]) >= 5
    calls = [case for case in documents if case.task == "call"]
    assert all(case.tools for case in calls)
    assert not any(case.tools for case in documents if case.task != "call")


def test_blanked_pictures_keep_their_size_and_show_one_colour(documents: tuple[Case, ...]) -> None:
    two = next(case for case in documents if len(case.pngs) == 2 and case.task == "key")
    (empty,) = blanked([two])
    for shown, blank in zip(two.pngs, empty.pngs, strict=True):
        with Image.open(io.BytesIO(shown)) as image, Image.open(io.BytesIO(blank)) as paper:
            assert paper.size == image.size
            assert len(paper.getcolors() or ()) == 1


def test_what_can_be_answered_unseen_is_not_blanked(
    cases: tuple[Case, ...], documents: tuple[Case, ...]
) -> None:
    assert len(blanked(cases)) == 400 - 32 - 12
    empty = blanked(documents[::4])
    assert not NO_PICTURE_NEEDED & {case.task for case in empty}
    for case in empty:
        assert case.answer not in "".join(answer for _, answer in case.earlier)
        assert case.answer != "Done."


def test_a_model_that_knows_everything_clears_every_bar(
    cases: tuple[Case, ...], documents: tuple[Case, ...]
) -> None:
    empty = judge(blanked(cases[:40]), lambda _: "")
    assert all(bar.cleared for bar in bars(_right((*cases, *documents)), empty))


def test_a_model_that_guesses_without_looking_misses_the_blanked_bar(
    cases: tuple[Case, ...],
) -> None:
    told = bars(_right(cases), _right(blanked(cases[:40])))
    assert {bar.name for bar in told if not bar.cleared} == {"picture blanked", "table cells"}


def test_a_model_that_always_declines_is_told_what_it_has_declined(
    documents: tuple[Case, ...],
) -> None:
    told = bars(judge(documents, lambda _: ABSENT_ANSWER), ())
    assert _bar(told, "absent, declined").figure == 100
    assert _bar(told, "present, not declined").figure == 0
    num_absent = sum(case.task == "absent" for case in documents)
    assert _bar(told, "present, not declined").of == len(documents) - num_absent


def test_nearly_right_is_wrong(cases: tuple[Case, ...]) -> None:
    case = replace(cases[0], answer="$23.40")
    assert Verdict(case, "$23.40 \n").right
    assert not Verdict(case, "$23.4").right
    assert not Verdict(case, "The total is $23.40").right


def test_shapes_are_compared_with_each_other(cases: tuple[Case, ...]) -> None:
    told = bars(judge(cases, lambda case: case.answer if case.aspect == "square" else ""), ())
    behind = _bar(told, "non-square behind square, points")
    assert (behind.figure, behind.of, behind.cleared) == (100, 388, False)


def test_judge_hands_the_case_to_the_model(cases: tuple[Case, ...]) -> None:
    seen: list[Case] = []

    def answer(case: Case) -> str:
        seen.append(case)
        return "?"

    verdicts = judge(cases[:3], answer)
    assert seen == [*cases[:3]]
    assert [verdict.given for verdict in verdicts] == ["?"] * 3


def test_answers_are_counted_under_each_of_their_splits(cases: tuple[Case, ...]) -> None:
    right = replace(cases[0], kind="invoice", answer="$5", font="a")
    wrong = replace(right, answer="$6", font="b", is_held_out=True)

    counted = {(each.by, each.name): each.share for each in splits(judge([right, wrong], _five))}

    assert counted["kind", "invoice"] == counted["set", "first 400"] == Share(1, 2)
    assert (counted["font", "a"], counted["font", "b"]) == (Share(1, 1), Share(0, 1))
    assert (counted["wording", "trained"], counted["wording", "held out"]) == (
        Share(1, 1),
        Share(0, 1),
    )


def _five(case: Case) -> str:
    return " $5\n"


def test_the_report_shows_every_bar_and_every_split(cases: tuple[Case, ...]) -> None:
    table = render(judge(cases, lambda _: ""), ())
    assert "| overall | 0.0 | 400 | >= 85 | MISSED |" in table
    assert "| dates | 0.0 | 60 | >= 92 | MISSED |" in table
    assert "| task: total | 0 | 110 | 0.0 |" in table
    assert "| kind: line | 0 | 88 | 0.0 |" in table


def test_wrong_answers_are_listed_and_right_ones_are_not(cases: tuple[Case, ...]) -> None:
    first, second = (replace(case, answer="$5") for case in cases[:2])
    verdicts = [Verdict(first, "$5"), Verdict(second, "$6")]
    (line,) = render_wrong(verdicts).splitlines()
    assert json.loads(line) == [second.kind, second.task, second.question, "$5", "$6"]


def test_the_json_holds_bars_splits_and_every_answer(cases: tuple[Case, ...]) -> None:
    content: dict[str, list[dict[str, Any]]] = json.loads(as_json(_right(cases), (), hand=False))
    assert {"by": "kind", "name": "line", "right": 88, "total": 88} in content["splits"]
    assert content["bars"][0]["name"] == "overall"
    assert len(content["answers"]) == 400
    assert all(answer["right"] for answer in content["answers"])


def test_answers_are_shown_beside_the_truth(cases: tuple[Case, ...]) -> None:
    first, second = (replace(case, answer="$11.40") for case in cases[:2])
    table = render_answers(["a.png", "b.png"], [Verdict(first, "$11.40"), Verdict(second, "a|b")])
    assert "| $11.40 | $11.40 | right |" in table
    assert "| a\\|b | wrong |" in table
    assert table.endswith("| pictures of other tools | 50.0 | 2 | >= 70 | MISSED |")


class _SlowReader(Streams):
    """Takes a second for the first token of a small picture and nine for that of a page."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.read_to_the_end = 0

    def clock(self) -> float:
        return self.now_s

    def stream(self, pngs: Sequence[bytes], question: str) -> Iterator[int]:
        self.now_s += 9 if pngs[0] == PAGE.read_bytes() else 1
        yield 5
        self.now_s += 50
        yield 6
        self.read_to_the_end += 1

    def image_tokens(self, png: bytes) -> int:
        return 1_000


def test_speed_is_the_time_to_the_first_token_and_no_longer() -> None:
    reader = _SlowReader()
    small, page = first_tokens(reader, reader.clock)
    assert (small.seconds, small.cleared) == (1, True)
    assert (page.seconds, page.cleared) == (9, False)
    assert page.name.endswith("1000 image tokens")
    assert reader.read_to_the_end == 2
