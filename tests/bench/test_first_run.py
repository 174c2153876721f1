"""The first run in real terminals, with the fake engine, on a machine that may be busy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_first_run_keeps_its_promises(checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.first_run", "--engine", "fake", "--slack", "5"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=checkout, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads((tmp_path / "times.json").read_text())
    assert len(told["steps"]) == 8
    screens = "".join(path.read_text() for path in tmp_path.glob("*.txt"))
    assert "cortex1-…" in screens
    assert str(Path.home()) not in screens
