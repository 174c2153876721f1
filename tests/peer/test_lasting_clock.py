"""How long a machine has slept or was halted, as its clocks tell."""

from __future__ import annotations

import time

import pytest

from cortex.peer.lasting_clock import AmpleClock, asleep_s, lasting_s


@pytest.mark.parametrize(
    ("ahead", "awake"),
    [("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"), ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW")],
)
def test_a_machine_has_slept_by_how_far_one_clock_is_ahead(
    ahead: str, awake: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("CLOCK_BOOTTIME", "CLOCK_UPTIME_RAW"):
        monkeypatch.delattr(time, name, raising=False)
    monkeypatch.setattr(time, ahead, 1, raising=False)
    monkeypatch.setattr(time, awake, 2, raising=False)
    monkeypatch.setattr(time, "clock_gettime", {1: 130.0, 2: 100.0}.__getitem__)
    assert (asleep_s(), lasting_s()) == (30.0, 130.0)


def test_where_no_clock_goes_on_the_one_that_every_loop_has_is_asked(
    monkeypatch: pytest.MonkeyPatch,
):
    for name in ("CLOCK_BOOTTIME", "CLOCK_UPTIME_RAW"):
        monkeypatch.delattr(time, name, raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)
    assert (asleep_s(), lasting_s()) == (0.0, 7.0)


DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("lasted_s", "by_wall_s", "passed_s"),
    [
        (60, 60, 60),
        (8 * 3600, -7200, 8 * 3600),
        (1, 8 * 3600, 8 * 3600),
        (60, 56 * 365 * DAY_S, 365 * DAY_S),
    ],
    ids=["awake", "asleep, and put back", "halted, where no other goes on", "never set before"],
)
def test_what_may_have_been_missed_is_the_longer_of_what_two_clocks_say(
    lasted_s: float, by_wall_s: float, passed_s: float
):
    now = {"lasting": 5000.0, "wall": 1e9}
    clock = AmpleClock(lambda: now["lasting"], lambda: now["wall"])
    began_s = clock()
    now["lasting"] += lasted_s
    now["wall"] += by_wall_s
    assert clock() - began_s == pytest.approx(passed_s)
    now["lasting"] += 5
    now["wall"] += 5
    assert clock() - began_s == pytest.approx(passed_s + 5)
