"""cortex itself: `cortex peer`, asked over HTTP like everybody else."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from .base import Running, Setting
from .process import free_port
from .served import serving


class CortexPeer:
    name = "cortex"
    settings = "cortex peer, its defaults"

    def install(self, root: Path) -> str:
        return version("cortex-fleet")

    @contextmanager
    def running(self, root: Path, setting: Setting) -> Generator[Running]:
        port, model = free_port(), setting.model_dir.name
        with tempfile.TemporaryDirectory() as state_dir:
            command = (
                *(sys.executable, "-m", "cortex.cli", "peer", "--gpu", "cpu"),
                *("--models", str(setting.model_dir.parent), "--model", model),
                *("--port", str(port), "--threads", str(setting.threads)),
                *("--state-dir", state_dir),
            )
            with serving(command, setting.log, port=port, model=model, env={}) as server:
                yield server
