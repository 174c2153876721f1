"""The quick twin of the table in docs/operating.md: small models take what was estimated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.estimated_shapes import LARGE, SMALL, Made

MIB = 1 << 20
_LOADS = """
import gc, sys
from pathlib import Path
import torch
from cortex.engine.heap import keep_freed_memory
keep_freed_memory()
from cortex.engine.cache.store import PrefixStore
from cortex.engine.estimating import estimate
from cortex.engine.gauge import LoadGauge
from cortex.engine.memory import Share
from cortex.engine.serving import load_service
from cortex.engine.wishes import Wishes
folder, cpu = Path(sys.argv[1]), torch.device("cpu")
torch.set_num_threads(1)
costs = estimate(folder, cpu, Wishes())
for _ in range(2):
    gauge = LoadGauge(cpu)
    loaded = load_service(folder, cpu, PrefixStore(0), Share(1 << 30, 2048, 2), Wishes())
    assert gauge.expected_bytes(loaded.budget) == costs.loaded_bytes
    print(costs.loaded_bytes, gauge.taken_bytes())
    del loaded
    gc.collect()
    print(0, gauge.taken_bytes())
"""


@pytest.mark.parametrize("made", SMALL, ids=lambda made: made.name)
def test_a_load_takes_what_was_estimated_and_an_unload_gives_it_back(
    made: Made, tmp_path: Path
) -> None:
    made.make(tmp_path / "made")
    said = subprocess.run(
        [sys.executable, "-c", _LOADS, str(tmp_path / "made")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    for line in said.stdout.splitlines():
        expected_bytes, taken_bytes = map(int, line.split())
        assert abs(taken_bytes - expected_bytes) < max(4 * MIB, expected_bytes // 20)


def test_the_eight_are_large_enough_and_all_different() -> None:
    assert len({made.name for made in LARGE}) == 8
    assert {made.config["model_type"] for made in LARGE} == {"qwen3", "qwen2", "llama", "qwen3_5"}
    assert {made.dtype for made in LARGE} == {"bfloat16", "float16", "float32"}
    assert any(made.num_shards > 1 for made in LARGE)
    assert {bool(made.text["tie_word_embeddings"]) for made in LARGE} == {True, False}
