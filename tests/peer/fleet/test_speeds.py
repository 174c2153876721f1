"""The word for a model's speed, by which conversations are shared out: it hardly ever changes."""

from __future__ import annotations

from cortex.peer.fleet.rates import Durations
from cortex.peer.fleet.speeds import Speeds

HOUR_S = 3600.0


class Answers:
    """Of one model, which come at speeds that the test says."""

    def __init__(self) -> None:
        self._speeds, self._gaps = Speeds(), Durations()

    def at(self, tokens_per_s: float, now_s: float = 0.0, num_gaps: int = 100) -> int:
        """The step that is told after so many more."""
        sum_s = self._gaps.sum_s + num_gaps / tokens_per_s
        self._gaps = Durations(self._gaps.num + num_gaps, sum_s)
        return self._speeds.step("m", self._gaps, now_s)


def test_a_batch_that_slows_each_answer_changes_nothing() -> None:
    answers = Answers()
    assert [answers.at(speed) for speed in (100, 60, 30, 10)] == [8, 8, 8, 8]


def test_a_speed_moves_when_it_has_doubled_or_halved_for_hours() -> None:
    answers = Answers()
    assert [answers.at(speed) for speed in (64, 100, 127, 129)] == [7, 7, 7, 8]
    assert answers.at(40, HOUR_S) == 8, "an hour ago it was faster"
    assert answers.at(65, 2 * HOUR_S) == 8
    assert answers.at(40, 3 * HOUR_S) == 8
    assert answers.at(40, 4 * HOUR_S) == 6


def test_a_speed_between_two_steps_moves_no_earlier_than_others() -> None:
    answers = Answers()
    assert [answers.at(speed) for speed in (90, 130, 179, 181)] == [7, 7, 7, 8]


def test_what_was_idle_is_judged_by_what_it_did_before() -> None:
    answers = Answers()
    assert answers.at(64) == 7
    assert answers.at(1000, 9 * HOUR_S, num_gaps=7) == 7, "too few to tell"
    assert answers.at(16, 9 * HOUR_S) == 7, "it may be one of a batch"
    assert answers.at(16, 10 * HOUR_S) == 5


def test_few_tokens_tell_nothing_and_the_slowest_speed_is_one() -> None:
    assert Answers().at(64, num_gaps=7) == 0
    assert Answers().at(0.1) == 1
