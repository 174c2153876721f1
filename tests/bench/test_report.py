"""What every bench says of its figures, and where it puts them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.machine import processor_name
from bench.report import arguments, written


def test_figures_say_when_and_where_they_were_taken_and_lie_in_a_folder_made_for_them(
    tmp_path: Path,
) -> None:
    out = tmp_path / "new" / "figures.json"
    text = written(out, "how long it takes", runs_s=[1.5])
    assert out.read_text() == f"{text}\n"
    told = json.loads(text)
    assert (told["what"], told["runs_s"]) == ("how long it takes", [1.5])
    assert datetime.now(UTC) - datetime.fromisoformat(told["date"]) < timedelta(minutes=1)
    assert {"processor", "cores", "torch", "commit"} <= set(told["machine"])
    assert told["load_average"] >= 0


def test_without_a_place_to_write_the_figures_are_given_all_the_same() -> None:
    assert json.loads(written(None, "how long it takes", runs_s=[1.5]))["runs_s"] == [1.5]


def test_what_a_bench_knows_better_replaces_what_is_said_of_all() -> None:
    assert json.loads(written(None, "a device", machine={"device": "x"}))["machine"] == {
        "device": "x"
    }


def test_a_bench_is_described_by_its_first_line() -> None:
    parser = arguments("One line.\n\nAnd more.")
    assert parser.description == "One line."
    assert parser.parse_args(["--out", "a/b"]).out == Path("a/b")
    assert arguments("One line.").parse_args([]).out is None


def test_a_bench_that_is_a_folder_is_named_as_it_is_run(checkout: Path) -> None:
    command = [sys.executable, "-m", "bench.swaps", "--help"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m bench.swaps [")


def test_the_processor_is_named_as_the_kernel_names_it(tmp_path: Path) -> None:
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor\t: 0\nmodel name\t: Fast One\nmodel name\t: Fast One\n")
    assert processor_name(listing) == "Fast One"
    assert processor_name(tmp_path / "none")
