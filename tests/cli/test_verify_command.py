"""`cortex verify`: its lines, and what it exits with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cortex = Callable[..., Any]


def test_a_golden_folder_passes_with_a_line_for_each_case(cortex: Cortex, checkout: Path) -> None:
    done = cortex("verify", str(checkout / "tests" / "golden" / "chat"))
    *cases, summary = done.stdout.splitlines()
    assert (done.code, done.stderr) == (0, "")
    assert all(case.startswith("PASS  ") and "at most" in case for case in cases)
    assert summary == f"{len(cases)} of {len(cases)} cases pass."


def test_one_changed_expectation_fails(cortex: Cortex, checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    shutil.copytree(checkout / "tests" / "golden" / "chat", folder)
    cases = folder / "tokenizer_cases.json"
    plain = json.loads(cases.read_text())
    plain["cases"][1]["ids"][0] += 1
    cases.write_text(json.dumps(plain))

    done = cortex("verify", "chat")
    assert done.code == 1
    assert sum(line.startswith("FAIL  ") for line in done.stdout.splitlines()) == 1

    told = json.loads(cortex("verify", "chat", "--json").stdout)
    assert (told["schema"], told["passed"]) == (1, False)
    assert [case["passed"] for case in told["cases"]].count(False) == 1


def test_a_folder_with_nothing_in_it_exits_2(cortex: Cortex, tmp_path: Path) -> None:
    done = cortex("verify", str(tmp_path))
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
