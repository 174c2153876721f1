"""The measurement of commands: what it runs, and when it calls a budget kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from bench.cli import Case, cases, measured


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
