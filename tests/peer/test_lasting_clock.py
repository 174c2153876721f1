"""How long a machine has slept, as its clocks tell."""

from __future__ import annotations

import time

import pytest

from cortex.peer.lasting_clock import asleep_s, lasting_s


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
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)
    assert (asleep_s(), lasting_s()) == (30.0, 37.0)
