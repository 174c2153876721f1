"""`cortex verify`: its lines, and what it exits with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.commands.verify import chosen_device
from cortex.peer.config import Card

Cortex = Callable[..., Any]


def test_a_golden_folder_passes_with_a_line_for_each_case(
    cortex_here: Cortex, checkout: Path
) -> None:
    done = cortex_here("verify", str(checkout / "tests" / "golden" / "chat"))
    *cases, summary = done.stdout.splitlines()
    assert (done.code, done.stderr) == (0, "")
    assert all(case.startswith("PASS  ") and "at most" in case for case in cases)
    assert summary == f"{len(cases)} of {len(cases)} cases pass on cpu."


def test_one_changed_expectation_fails(cortex_here: Cortex, checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    shutil.copytree(checkout / "tests" / "golden" / "chat", folder)
    cases = folder / "tokenizer_cases.json"
    plain = json.loads(cases.read_text())
    plain["cases"][1]["ids"][0] += 1
    cases.write_text(json.dumps(plain))

    done = cortex_here("verify", "chat")
    assert done.code == 1
    assert sum(line.startswith("FAIL  ") for line in done.stdout.splitlines()) == 1

    told = json.loads(cortex_here("verify", "chat", "--json").stdout)
    assert (told["schema"], told["passed"]) == (1, False)
    assert [case["passed"] for case in told["cases"]].count(False) == 1


def test_a_folder_with_nothing_in_it_exits_2(cortex_here: Cortex, tmp_path: Path) -> None:
    done = cortex_here("verify", str(tmp_path))
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_coarser_numbers_are_told_by_their_tokens(cortex_here: Cortex, checkout: Path) -> None:
    folder = str(checkout / "tests" / "golden" / "qwen3_5_text")
    done = cortex_here("verify", folder, "--dtype", "bfloat16")
    *cases, summary = done.stdout.splitlines()
    assert done.code == 0 and cases
    told = json.loads(cortex_here("verify", folder, "--dtype", "bfloat16", "--json").stdout)
    num_equal = sum(case["num_equal"] for case in told["cases"])
    num_tokens = sum(case["num_tokens"] for case in told["cases"])
    assert summary == f"{num_equal} of {num_tokens} tokens agree, in bfloat16 on cpu."
    assert 0.5 < num_equal / num_tokens <= 1


def test_a_gpu_is_named_as_it_was_asked_for_and_is_the_only_one_that_torch_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = (Card(0, "GPU-a", "L4"), Card(1, "GPU-b", "L4"))
    seen: list[str] = []

    def found(wish: str) -> tuple[Card, ...]:
        return cards

    monkeypatch.setattr("cortex.cli.devices.find_gpus", found)
    monkeypatch.setattr("cortex.cli.devices.torch_cuda", lambda: "13.0")
    monkeypatch.setattr("cortex.cli.config.see_only", seen.append)

    assert chosen_device("1") == ("cuda:1", "cuda:0")
    assert seen == ["GPU-b"]
    assert chosen_device("cpu") == ("cpu", "cpu")


def test_a_gpu_that_is_not_there_is_named(cortex_here: Cortex, checkout: Path) -> None:
    done = cortex_here("verify", str(checkout / "tests" / "golden" / "chat"), "--gpu", "7")
    assert done.code == 1
    assert done.stderr.startswith("error: gpu 7 asked for")
