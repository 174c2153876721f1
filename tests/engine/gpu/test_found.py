"""Triton's kernels are used on a GPU that they serve, doubted elsewhere, and unknown to a CPU."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from cortex.engine.kernels.gpu import fla_rule, found
from cortex.engine.kernels.gpu.complaint import tell_once
from cortex.engine.kernels.gpu.found import triton_operations
from cortex.engine.kernels.gpu.operations import TritonOperations
from cortex.engine.kernels.trial import operations_that_differ
from cortex.engine.layers.operations import PLAIN, Operations
from cortex.engine.models import registry
from cortex.engine.models.registry import build_model, use_gpu_kernels

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_operation_computes_what_torchs_does(
    dtype: torch.dtype, operations: TritonOperations
) -> None:
    assert operations_that_differ(operations, dtype, CPU) == []


def found_with(differing: list[str], monkeypatch: pytest.MonkeyPatch) -> Operations | None:
    def differ(*_: object) -> list[str]:
        return differing

    monkeypatch.setattr(found, "operations_that_differ", differ)
    triton_operations.cache_clear()
    try:
        return triton_operations(torch.bfloat16, CPU)
    finally:
        triton_operations.cache_clear()


def test_kernels_that_agree_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    operations = found_with([], monkeypatch)

    assert isinstance(operations, TritonOperations)
    assert operations.whose in ("Triton", "Triton and fla")


def test_kernels_that_compute_something_else_are_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tell_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert found_with(["mix_kept of 28"], monkeypatch) is None

    assert "mix_kept of 28" in caplog.text


def test_a_compiler_that_fails_leaves_torchs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("no such architecture")

    monkeypatch.setattr(found, "operations_that_differ", fail)
    triton_operations.cache_clear()

    tell_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert triton_operations(torch.bfloat16, CPU) is None

    triton_operations.cache_clear()
    assert "no such architecture" in caplog.text


def test_what_others_bring_does_not_take_ours_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(*_: torch.Tensor) -> NoReturn:
        raise AssertionError("only tried here by name")

    def found_rule() -> object:
        return rule

    def differ(operations: TritonOperations, *_: object) -> list[str]:
        return ["gated_delta_mix of 28"] if operations.whose == "Triton and fla" else []

    monkeypatch.setattr(fla_rule, "found_fla_rule", found_rule)
    monkeypatch.setattr(found, "operations_that_differ", differ)
    triton_operations.cache_clear()
    operations = triton_operations(torch.bfloat16, CPU)
    triton_operations.cache_clear()

    assert operations is not None and operations.whose == "Triton"


def test_without_triton_there_are_none_and_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def nothing(name: str) -> None:
        assert name == "triton"

    monkeypatch.setattr(found, "find_spec", nothing)
    triton_operations.cache_clear()

    with caplog.at_level(logging.INFO):
        assert triton_operations(torch.bfloat16, CPU) is None

    triton_operations.cache_clear()
    assert "triton is not installed" in caplog.text


def test_a_gpu_is_given_them_unless_torchs_are_wished_for(
    golden: Path, operations: TritonOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serving(*_: object) -> Operations:
        return operations

    monkeypatch.setattr(registry, "triton_operations", serving)
    model, cuda = build_model(golden / "qwen3_5").model, torch.device("cuda")

    use_gpu_kernels(model, torch.bfloat16, CPU, "auto")
    use_gpu_kernels(model, torch.bfloat16, cuda, "torch")
    assert model.operations is PLAIN
    use_gpu_kernels(model, torch.bfloat16, cuda, "auto")
    assert model.operations is operations


def test_an_engine_on_a_cpu_never_loads_triton(golden: Path) -> None:
    answer = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "import cortex.engine.worker\n"
        "from cortex.engine.cache.store import PrefixStore\n"
        "from cortex.engine.memory import Share\n"
        "from cortex.engine.serving import load_service\n"
        "from cortex.engine.wishes import Wishes\n"
        "cpu, share = torch.device('cpu'), Share(1 << 29)\n"
        "load_service(Path(sys.argv[1]), cpu, PrefixStore(1 << 20), share, Wishes())\n"
        "print('triton' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", answer, str(golden / "qwen3_5_text")],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip

    assert done.stdout == "False\n"


def test_all_kernels_compile_for_a_gpu_and_keep_to_its_registers() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0"}

    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu_kernels", "--architecture", "90"],
        cwd=Path(__file__).parents[3], env=environment,
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip

    made = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["kernel"] for each in made} == {
        "_attend_part", "_add_parts", "_turn", "_delta_step", "_rms_norm", "_silu_times",
    }  # fmt: skip
    assert all(each["stack_bytes"] == 0 for each in made)
    # What a block may have on the smaller GPUs of a generation.
    assert all(each["shared_bytes"] <= 99 << 10 for each in made)
