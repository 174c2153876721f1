"""What a trial's history is judged by: told here of requests that were never made."""

from __future__ import annotations

from typing import Any

from bench.chaos.history import ENDED_BY_ITSELF, Answer, Attempt, Harm, Verdict, judged

TWINS = {0: Answer("yes", "stop", 3), 1: Answer("no", "stop", 2)}
KILLED = Harm("ada", "kill", 10.0, 20.0)


def attempt(request: int, **changes: Any) -> Attempt:
    usual: dict[str, Any] = {
        "ingress": "ada",
        "begun_s": 1.0,
        "ended_s": 2.0,
        "end": "answered",
        "answer": TWINS.get(request % 2),
    }
    return Attempt(request, **{**usual, **changes})


def verdict_of(*attempts: Attempt) -> Verdict:
    return judged(attempts, [KILLED], TWINS, kinds=2)


def test_answers_like_those_of_an_undisturbed_peer_are_clean() -> None:
    verdict = verdict_of(attempt(0), attempt(1), attempt(2))
    assert verdict.is_clean and verdict.is_unbroken
    assert verdict.counts["answered"] == 3


def test_another_answer_than_its_twin_s_is_wrong() -> None:
    for torn in (Answer("ye", "stop", 3), Answer("yes", "length", 3), Answer("yes", "stop", 4)):
        verdict = verdict_of(attempt(0, answer=torn))
        assert not verdict.is_clean
        assert [one.answer for one in verdict.wrong_answers] == [torn]


def test_whoever_loses_a_healthy_ingress_saw_an_error() -> None:
    verdict = verdict_of(attempt(0, end="broken", answer=None))
    assert not verdict.is_clean
    assert verdict.counts["errors"] == 1


def test_whoever_loses_a_harmed_ingress_may_ask_again() -> None:
    lost = attempt(0, begun_s=8.0, ended_s=10.5, end="broken", answer=None)
    verdict = verdict_of(lost, attempt(0, ingress="bob", begun_s=10.7, ended_s=12.0))
    assert verdict.is_clean and not verdict.is_unbroken
    assert verdict.counts["lost with their ingress"] == 1


def test_the_death_of_another_peer_than_the_ingress_excuses_nothing() -> None:
    lost = attempt(0, ingress="bob", begun_s=8.0, ended_s=10.5, end="refused", answer=None)
    assert not verdict_of(lost).is_clean


def test_a_request_that_is_answered_twice_is_no_clean_history() -> None:
    assert not verdict_of(attempt(0), attempt(0)).is_clean


def test_whoever_is_turned_away_by_a_leaving_ingress_lost_nothing() -> None:
    away = attempt(0, begun_s=8.0, ended_s=10.5, end="refused", answer=None)
    verdict = verdict_of(away, attempt(0, ingress="bob", begun_s=10.7, ended_s=12.0))
    assert verdict.is_unbroken
    assert verdict.counts["turned away by an ingress that leaves"] == 1


def test_the_gaps_told_are_those_through_an_ingress_that_nobody_harmed() -> None:
    short, longer = (attempt(n, ingress="bob", longest_gap_s=0.1 + n) for n in range(2))
    halted = attempt(2, begun_s=8.0, ended_s=21.0, longest_gap_s=12.0)
    verdict = verdict_of(short, longer, halted)
    assert verdict.is_clean
    assert verdict.gaps_s["worst"] == 1.1


def test_a_peer_that_ended_by_itself_is_a_fault_even_where_no_client_met_it() -> None:
    assert judged([attempt(0)], [KILLED], TWINS, 2).is_clean
    ended = Harm("bob", ENDED_BY_ITSELF, 5.0, 5.0)
    assert not judged([attempt(0)], [ended], TWINS, 2).is_clean
