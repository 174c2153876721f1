"""The page of examples shows right and wrong answers of many kinds, and can be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from training.evaluation.cases import Case
from training.evaluation.examples import NUM_EXAMPLES, choose_examples, draw_examples
from training.evaluation.hand import hand_cases
from training.evaluation.score import Verdict

RIGHT, WRONG = (10, 125, 51), (194, 22, 12)


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return tuple(case for _, case in hand_cases())


def _verdicts(cases: tuple[Case, ...], num_right: int) -> list[Verdict]:
    return [Verdict(case, case.answer if n < num_right else "?") for n, case in enumerate(cases)]


def test_both_right_and_wrong_ones_are_shown(cases: tuple[Case, ...]) -> None:
    shown = choose_examples(_verdicts(cases, 20))
    assert Counter(verdict.right for verdict in shown) == {True: 8, False: 7}
    assert len({verdict.case.kind for verdict in shown}) >= 8


@pytest.mark.parametrize(("num_right", "wrong"), [(28, 2), (30, 0), (0, 15)])
def test_where_there_are_few_of_one_sort_the_other_fills_the_page(
    cases: tuple[Case, ...], num_right: int, wrong: int
) -> None:
    shown = choose_examples(_verdicts(cases, num_right))
    assert len(shown) == NUM_EXAMPLES
    assert sum(not verdict.right for verdict in shown) == wrong


def test_a_seed_shows_the_same_examples_and_another_shows_others(cases: tuple[Case, ...]) -> None:
    verdicts = _verdicts(cases, 15)
    assert choose_examples(verdicts, 1) == choose_examples(verdicts, 1)
    assert choose_examples(verdicts, 1) != choose_examples(verdicts, 2)


def test_chat_and_pictures_that_would_shrink_beyond_reading_are_not_shown(
    cases: tuple[Case, ...],
) -> None:
    chat = replace(cases[0], kind="chat", pngs=())
    page = next(case for name, case in hand_cases() if name == "invoice-page.png")
    shown = choose_examples([Verdict(chat, ""), Verdict(page, ""), Verdict(cases[0], "")])
    assert [verdict.case for verdict in shown] == [cases[0]]


def test_the_page_has_a_green_frame_for_right_and_a_red_one_for_wrong(
    cases: tuple[Case, ...],
) -> None:
    right, wrong = (
        {colour for _, colour in page.convert("RGB").getcolors(256) or ()}
        for page in (draw_examples([Verdict(cases[0], given)]) for given in (cases[0].answer, "?"))
    )
    assert RIGHT in right and WRONG not in right
    assert WRONG in wrong and RIGHT not in wrong


def test_the_page_is_as_wide_as_a_screen_and_as_high_as_its_examples(
    cases: tuple[Case, ...],
) -> None:
    few, many = (draw_examples(_verdicts(cases[:n], n)) for n in (3, 9))
    assert few.width == many.width == 1600
    assert few.height < many.height
