"""How long requests are here, as it changes in the course of months."""

from __future__ import annotations

import pytest

from cortex.peer.observing.stays import Stays, mean_stay_s, wait_s


def test_while_there_are_few_their_mean_is_that_of_all() -> None:
    stays = Stays()
    assert stays.mean_s == 0
    for stay_s in (1, 2, 6):
        stays.answered(0, stay_s)
    assert stays.mean_s == pytest.approx(3)


@pytest.mark.parametrize(("before_s", "now_s"), [(60, 0.5), (0.5, 60)])
def test_what_weeks_were_like_is_forgotten_within_a_hundred_answers(
    before_s: float, now_s: float
) -> None:
    stays = Stays()
    for _ in range(10_000):
        stays.answered(0, before_s)
    for _ in range(100):
        stays.answered(0, now_s)
    assert stays.mean_s == pytest.approx(now_s, abs=0.05 * 60)


def test_one_old_answer_does_not_speak_for_a_model_that_makes_vectors() -> None:
    stays = Stays()
    stays.answered(1000, 600)
    for now_s in range(1000, 7000):
        stays.turned_into_vector(now_s, 0.02)
    assert stays.mean_s == 600, "there may be another answer, which takes as long"
    stays.turned_into_vector(7001, 0.02)
    assert stays.mean_s == pytest.approx(0.02)
    stays.answered(8000, 30)
    assert stays.mean_s > 30


def test_places_become_free_as_fast_as_those_that_are_there_make_them() -> None:
    assert mean_stay_s([]) == mean_stay_s([(3, 0.0)]) == 0
    assert mean_stay_s([(0, 60), (256, 0.02)]) == pytest.approx(0.02), "no answer is made"
    assert mean_stay_s([(8, 60), (0, 0.02), (2, 0.0)]) == pytest.approx(60)
    stay_s = mean_stay_s([(6, 60), (2, 1)])
    assert wait_s(stay_s, num_live=8, num_waiting=0) == pytest.approx(1 / (6 / 60 + 2 / 1))
    assert mean_stay_s([(0, 1), (0, 1)]) == 1


def test_one_more_waits_for_those_before_it_and_for_a_place() -> None:
    assert wait_s(60, num_live=12, num_waiting=4) == 25
    assert wait_s(60, num_live=0, num_waiting=0) == 60
