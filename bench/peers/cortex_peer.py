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
from .served import Server, serving


class CortexPeer:
    name = "cortex"
    settings = "cortex peer --dtype: exact mode in float32, fast mode in bfloat16"

    def install(self, root: Path) -> str:
        return version("cortex-fleet")

    @contextmanager
    def running(self, root: Path, setting: Setting) -> Generator[Running]:
        options = ("--models", str(setting.model_dir.parent), "--dtype", setting.dtype)
        with cortex_server(setting.model_dir.name, setting.log, setting.threads, options) as server:
            yield server


@contextmanager
def cortex_server(
    model: str,
    log: Path,
    threads: int | None = None,
    options: tuple[str, ...] = (),
    gpu: str = "cpu",
) -> Generator[Server]:
    """A peer of this checkout with a model loaded, which no other command finds."""
    port = free_port()
    with tempfile.TemporaryDirectory() as state_dir:
        command = (
            *(sys.executable, "-m", "cortex.cli", "peer", "--gpu", gpu, "--model", model),
            *("--port", str(port), "--state-dir", state_dir, "--no-mdns", "--fleet-port", "0"),
            *(("--threads", str(threads)) if threads else ()),
            *options,
        )
        with serving(command, log, port=port, model=model, env={}) as server:
            yield server
