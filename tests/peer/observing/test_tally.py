"""Requests being counted, with a clock that the test turns by hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.errors import EngineFailed
from cortex.engine.histogram import Histogram
from cortex.engine.stream import Accepted, Began, Event, Finished, Piece, Stage, Usage, Vector
from cortex.peer.observing.recent import Kind, Recent
from cortex.peer.observing.tally import Ending, ModelTally, PeerTally, RequestMeter


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def meter_of(tally: ModelTally, clock: Clock, num_choices: int = 1) -> RequestMeter:
    return RequestMeter(tally, num_choices, clock(), clock)


def count_of(histogram: Histogram) -> int:
    return sum(histogram.spread.counts)


def sum_of(histogram: Histogram) -> float:
    return histogram.spread.sum


def test_an_answer_is_timed_from_its_coming_to_each_token_and_to_its_end() -> None:
    tally, clock = ModelTally(), Clock()
    with meter_of(tally, clock) as meter:
        clock.now_s += 3
        meter.made(0, 1)
        clock.now_s += 0.5
        meter.made(0, 1)
        clock.now_s += 0.25
        meter.made(0, 1)
        clock.now_s += 0.25
        meter.saw(Finished("stop", Usage(10, 3, 4)))
    assert (count_of(tally.first_token), sum_of(tally.first_token)) == (1, 3)
    assert (count_of(tally.between_tokens), sum_of(tally.between_tokens)) == (2, 0.75)
    assert (count_of(tally.answer), sum_of(tally.answer)) == (1, 4)
    assert tally.endings == {"stop": 1}
    assert (tally.num_prompt_tokens, tally.num_cached_tokens) == (10, 4)
    assert tally.num_completion_tokens == 3


@pytest.mark.parametrize(
    "first",
    [Stage("prefill", 0, 10, "tokens"), Piece((), (1,)), Finished("stop", Usage(10, 0))],
)
def test_a_prompt_waits_until_the_first_engine_reads_it(first: Event) -> None:
    tally, clock = ModelTally(), Clock()
    with meter_of(tally, clock) as meter:
        clock.now_s += 1
        meter.saw(Accepted(10, (), 5))
        clock.now_s += 4
        meter.saw(Began("here"))
        meter.saw(Stage("queued", 1, 1, "place"))  # others are before it there
        clock.now_s += 2
        meter.saw(first)
        clock.now_s += 1
        meter.saw(Began("there"))  # the first engine died
        meter.saw(Stage("prefill", 0, 10, "tokens"))
    assert (count_of(tally.queue), sum_of(tally.queue)) == (1, 6)


def test_a_vectors_prompt_has_waited_too() -> None:
    tally, clock = ModelTally(), Clock()
    with meter_of(tally, clock) as meter:
        meter.saw(Accepted(10, (), 0))
        clock.now_s += 3
        meter.saw(Vector(b"", 10))
    assert (count_of(tally.queue), sum_of(tally.queue)) == (1, 3)


def test_an_answers_speed_is_that_of_the_tokens_after_its_first() -> None:
    tally, clock = ModelTally(), Clock()
    with meter_of(tally, clock, num_choices=3) as meter:
        clock.now_s += 3
        meter.made(0, 1)
        meter.made(1, 1)
        clock.now_s += 0.5
        meter.made(0, 5)
        clock.now_s += 0.5
        meter.made(0, 5)
        meter.saw(Finished("stop", Usage(10, 11), 0))
        meter.saw(Finished("stop", Usage(10, 1), 1))
        meter.saw(Finished("stop", Usage(10, 0), 2))
    assert (count_of(tally.speed), sum_of(tally.speed)) == (1, 10)


def test_the_rest_of_an_answer_has_no_first_token() -> None:
    tally, clock = ModelTally(), Clock()
    with RequestMeter(tally, 1, clock(), clock, is_rest=True) as meter:
        meter.made(0, 1)
        clock.now_s += 1
        meter.made(0, 1)
        meter.saw(Finished("stop", Usage(10, 2)))
    assert count_of(tally.first_token) == 0
    assert (count_of(tally.between_tokens), count_of(tally.answer)) == (1, 1)


def test_tokens_that_come_together_share_the_time_between_them() -> None:
    tally, clock = ModelTally(), Clock()
    with meter_of(tally, clock) as meter:
        meter.made(0, 1)
        clock.now_s += 1
        meter.made(0, 4)
        meter.saw(Finished("stop", Usage(1, 5)))
    assert (count_of(tally.between_tokens), sum_of(tally.between_tokens)) == (4, 1)
    assert max(tally.between_tokens.spread.counts) == 4


def test_choices_share_a_prompt_and_a_first_token_and_have_their_own_endings() -> None:
    tally, clock = ModelTally(), Clock()
    with meter_of(tally, clock, num_choices=2) as meter:
        clock.now_s += 1
        meter.made(1, 1)
        clock.now_s += 1
        meter.made(0, 1)
        clock.now_s += 1
        meter.made(1, 1)
        meter.saw(Finished("stop", Usage(10, 1, 6), 0))
        assert tally.num_prompt_tokens == 0
        meter.saw(Finished("length", Usage(10, 2, 8), 1))
    assert (count_of(tally.first_token), sum_of(tally.first_token)) == (1, 1)
    # Choice 0 has one token, and none of choice 1's times are its own.
    assert (count_of(tally.between_tokens), sum_of(tally.between_tokens)) == (1, 2)
    assert tally.endings == {"stop": 1, "length": 1}
    assert (tally.num_prompt_tokens, tally.num_cached_tokens) == (10, 6)
    assert count_of(tally.answer) == 1


@pytest.mark.parametrize(
    ("error", "is_accepted", "ending"),
    [
        (EngineFailed("x"), False, "refused"),
        (EngineFailed("x"), True, "failed"),
        (RuntimeError("a bug"), True, "failed"),
        (GeneratorExit(), True, "cancelled"),
        (GeneratorExit(), False, "cancelled"),
        (asyncio.CancelledError(), True, "cancelled"),
    ],
)
def test_what_did_not_end_by_itself_is_counted_by_what_ended_it(
    error: BaseException, is_accepted: bool, ending: Ending
) -> None:
    tally, clock = ModelTally(), Clock()
    with pytest.raises(type(error)), meter_of(tally, clock, num_choices=3) as meter:
        if is_accepted:
            meter.saw(Accepted(1, (), 1))
        meter.saw(Finished("stop", Usage(10, 1)))
        raise error
    assert tally.endings == {"stop": 1, ending: 2}
    assert (tally.num_prompt_tokens, count_of(tally.answer)) == (0, 0)


@given(num_choices=st.integers(1, 5), num_finished=st.integers(0, 5))
def test_every_choice_ends_exactly_once(num_choices: int, num_finished: int) -> None:
    tally, clock = ModelTally(), Clock()
    with meter_of(tally, clock, num_choices) as meter:
        for choice in range(min(num_choices, num_finished)):
            meter.saw(Finished("stop", Usage(1, 1), choice))
    assert tally.endings.total() == num_choices


def test_only_an_attempt_after_a_loss_is_a_replay() -> None:
    tally = ModelTally()
    with meter_of(tally, Clock()) as meter:
        for num_losses in (0, 1, 2):
            meter.began(num_losses)
    assert tally.num_replays == 2


def test_a_model_has_one_tally_however_often_it_is_asked_for() -> None:
    tally = PeerTally()
    assert tally.of("a") is tally.of("a") is not tally.of("b")
    assert list(tally.models) == ["a", "b"]


def test_vectors_say_nothing_of_how_long_an_answer_stays() -> None:
    tally, clock = ModelTally(), Clock()
    for _ in range(1000):
        with meter_of(tally, clock) as meter:
            meter.saw(Accepted(10, (), 0))
            clock.now_s += 0.02
            meter.saw(Vector(b"", 10))
    assert tally.stays.mean_s == pytest.approx(0.02), "where there is nothing else"
    with meter_of(tally, clock) as meter:
        clock.now_s += 60
        meter.saw(Finished("stop", Usage(10, 1)))
    assert tally.stays.mean_s == pytest.approx(60)


def test_a_peer_is_judged_by_those_that_are_there() -> None:
    tally, clock = PeerTally(), Clock()
    assert tally.stay_s == 0
    with meter_of(tally.of("answers"), clock) as meter:
        clock.now_s += 600
        meter.saw(Finished("stop", Usage(10, 1)))
    with meter_of(tally.of("vectors"), clock) as meter:
        clock.now_s += 0.02
        meter.saw(Vector(b"", 10))
    with meter_of(tally.of("vectors"), clock):
        assert tally.stay_s == pytest.approx(0.02)
    with meter_of(tally.of("answers"), clock, num_choices=3):
        assert tally.of("answers").num_live == 3
        assert tally.stay_s == pytest.approx(600)
    assert [each.num_live for each in tally.models.values()] == [0, 0]


def test_an_answer_whose_client_leaves_has_stayed_as_long_as_it_was_made() -> None:
    tally, clock = ModelTally(), Clock()
    with pytest.raises(GeneratorExit), meter_of(tally, clock) as meter:
        meter.saw(Accepted(10, (), 5))
        clock.now_s += 3
        raise GeneratorExit  # nothing of it was read: it was in nobody's place
    assert tally.stays.mean_s == 0
    with pytest.raises(GeneratorExit), meter_of(tally, clock) as meter:
        meter.saw(Accepted(10, (), 5))
        meter.saw(Stage("prefill", 0, 10, "tokens"))
        clock.now_s += 40
        raise GeneratorExit
    assert tally.stays.mean_s == pytest.approx(40), "its prompt was being read"
    with pytest.raises(GeneratorExit), meter_of(tally, clock) as meter:
        meter.saw(Accepted(10, (), 5))
        meter.made(0, 1)
        clock.now_s += 40
        raise GeneratorExit
    with pytest.raises(EngineFailed), meter_of(tally, clock) as meter:
        meter.saw(Accepted(10, (), 5))
        meter.made(0, 1)
        raise EngineFailed("x")
    assert tally.stays.mean_s == pytest.approx(40)


def test_what_was_done_of_late_is_noted_as_it_is_done() -> None:
    recent, tally, clock = Recent(), ModelTally(), Clock()

    def number(kind: Kind) -> int:
        return recent.number(clock(), kind)

    with RequestMeter(tally, 2, clock(), clock, recent=recent) as meter:
        meter.saw(Accepted(100, (), 16))
        clock.now_s += 3
        assert number("read") == 0
        meter.made(0, 1)
        meter.made(1, 4)
        meter.began(1)
        assert (number("read"), number("completed"), number("failovers")) == (100, 5, 1)
        meter.saw(Finished("stop", Usage(100, 1, 60)))
        assert number("prompted") == 0, "it has not ended"
        meter.saw(Finished("stop", Usage(100, 4, 60)))
    assert (number("requests"), number("errors")) == (1, 0)
    assert 0 < number("cached") <= number("prompted") == 100
    assert recent.first_token_s(clock(), 0.5) == 3


def test_a_request_that_failed_is_an_error_and_one_that_was_refused_none() -> None:
    recent, clock = Recent(), Clock()
    for is_accepted in (True, False):
        with (
            pytest.raises(EngineFailed),
            RequestMeter(ModelTally(), 1, clock(), clock, recent=recent) as meter,
        ):
            if is_accepted:
                meter.saw(Accepted(7, (), 16))
            raise EngineFailed("gone")
    assert (recent.number(clock(), "requests"), recent.number(clock(), "errors")) == (1, 1)
    assert recent.first_token_s(clock(), 0.5) is None


def test_an_answer_taken_up_here_has_no_first_token_of_its_own() -> None:
    recent, clock = Recent(), Clock()
    with RequestMeter(ModelTally(), 1, clock(), clock, is_rest=True, recent=recent) as meter:
        meter.made(0, 1)
    assert recent.first_token_s(clock(), 0.5) is None
