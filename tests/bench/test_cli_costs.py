"""The measurement of commands: what it runs, and when it calls a budget kept."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from bench.cli import Case, cases, main, measured, run


def test_a_case_is_measured_against_its_budget(tmp_path: Path) -> None:
    told = measured(Case("version", ("--version",), cpu_budget_ms=60_000.0), tmp_path, 1)
    assert told["is_kept"]
    assert 0 < told["cpu_ms"]["least"] <= told["cpu_ms"]["most"]
    assert not measured(Case("version", ("--version",), wall_budget_ms=0.1), tmp_path, 1)["is_kept"]


def test_tab_offers_something_in_each_case_that_types(tmp_path: Path) -> None:
    for case in cases(tmp_path):
        if case.typed is not None and "model" not in case.name:
            assert measured(case, tmp_path, 1)["wall_ms"]["least"] > 0


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no peer is running"):
        measured(Case("status", ("status",)), tmp_path, 1)


def test_a_cold_start_ends_at_the_first_byte_of_an_answer_that_needs_no_peer(
    tmp_path: Path,
) -> None:
    (cold,) = (case for case in cases(tmp_path) if case.is_cold)
    fake = replace(cold, words=[word.replace("torch", "fake") for word in cold.words])
    # Each look at the clock is a second: at the start, at the first byte, at the end.
    assert measured(fake, tmp_path, 1, count().__next__)["wall_ms"]["least"] == 1000
    whole = Case("version", ("--version",))
    assert measured(whole, tmp_path, 1, count().__next__)["wall_ms"]["least"] == 2000
    nobody = replace(fake, words=[*fake.words, "--model", "nobody"])
    with pytest.raises(RuntimeError, match="'nobody' is not on this peer"):
        measured(nobody, tmp_path, 1)


def test_a_command_that_does_not_end_is_killed_with_the_child_that_holds_its_output() -> None:
    script = "tail -f /dev/null & wait"
    with pytest.raises(RuntimeError, match=r"ended with -9 after .* \(limit: 0.5 s\)"):
        run(("sh", "-c", script), os.environ, limit_s=0.5)
    answered = f"echo an answer; {script}"
    with pytest.raises(RuntimeError, match="ended with -9"):
        run(("sh", "-c", answered), os.environ, is_cold=True, limit_s=0.5)


def test_a_command_is_killed_when_its_measurement_is_given_up() -> None:
    def given_up() -> float:
        if next(looks):
            raise KeyboardInterrupt
        return 0.0

    looks = count()
    with pytest.raises(KeyboardInterrupt):
        run(("sh", "-c", "echo an answer; tail -f /dev/null & wait"), os.environ, given_up)


def test_no_runs_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench.cli", "--runs", "0"])
    with pytest.raises(SystemExit):
        main()
    assert "--runs: at least 1" in capsys.readouterr().err
