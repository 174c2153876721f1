"""How long requests are here, as it changes in the course of months."""

from __future__ import annotations

import pytest

from cortex.peer.observing.stays import Stays, wait_s


def test_while_there_are_few_their_mean_is_that_of_all() -> None:
    stays = Stays()
    assert stays.mean_s == 0
    for stay_s in (1, 2, 6):
        stays.answered(stay_s)
    assert stays.mean_s == pytest.approx(3)


@pytest.mark.parametrize(("before_s", "now_s"), [(60, 0.5), (0.5, 60)])
def test_what_weeks_were_like_is_forgotten_within_a_hundred_answers(
    before_s: float, now_s: float
) -> None:
    stays = Stays()
    for _ in range(10_000):
        stays.answered(before_s)
    for _ in range(100):
        stays.answered(now_s)
    assert stays.mean_s == pytest.approx(now_s, abs=0.05 * 60)


def test_a_model_is_not_judged_by_another_but_the_peer_by_both() -> None:
    whole = Stays()
    one, other = Stays(whole), Stays(whole)
    one.answered(1)
    other.answered(3)
    assert (one.mean_s, other.mean_s, whole.mean_s) == (1, 3, 2)


def test_one_more_waits_for_those_before_it_and_for_a_place() -> None:
    assert wait_s(60, num_live=12, num_waiting=4) == 25
    assert wait_s(60, num_live=0, num_waiting=0) == 60
