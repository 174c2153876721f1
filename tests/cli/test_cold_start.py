"""The measurement of a cold start: what it runs, what it writes down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cold_start import first_token_s
from bench.machine import processor_name


def test_a_measurement_names_every_run_and_what_ran(checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "cold.json"
    command = [sys.executable, "-m", "bench.cold_start", "--engine", "fake", "--runs", "2"]
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=checkout, capture_output=True, timeout=60, check=True
    )
    told = json.loads(done.stdout)
    assert json.loads(out.read_text()) == told
    assert len(told["runs_s"]) == 2
    assert all(run_s > 0 for run_s in told["runs_s"])
    assert {"command", "date", "machine", "load_average"} <= set(told)


def test_a_command_that_gives_no_answer_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="'nobody' is not on this peer"):
        first_token_s(("--engine", "fake", "--model", "nobody"), lambda: 0.0)


def test_the_processor_is_named_as_the_kernel_names_it(tmp_path: Path) -> None:
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor\t: 0\nmodel name\t: Fast One\nmodel name\t: Fast One\n")
    assert processor_name(listing) == "Fast One"
    assert processor_name(tmp_path / "none")
