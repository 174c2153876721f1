"""How much of each device's memory the engines of a peer may use, as the machine is now."""

from __future__ import annotations

import contextlib
import subprocess

from cortex.engine.machine_memory import available_memory_bytes, cpu_budget_bytes
from cortex.engine.memory import remembered_bytes

from .config import PeerConfig

_MIB = 1 << 20
# The rest is for what the driver and torch keep for themselves.
_GPU_SHARE = 0.9
_QUERY = ("nvidia-smi", "--query-gpu=index,memory.free", "--format=csv,noheader,nounits")
_QUERY_S = 5.0


def read_budgets(config: PeerConfig) -> tuple[int, ...]:
    """By device. What the operator gives counts; a GPU that nobody tells of has none. Waits for a
    tool of the driver's: not for the event loop.
    """
    gpus = (
        _free_gpu_bytes() if any(name.startswith("cuda") for name in config.engine_devices) else {}
    )
    return tuple(_budget(config, name, gpus) for name in config.engine_devices)


def _budget(config: PeerConfig, name: str, gpus: dict[str, int]) -> int:
    if name.startswith("cuda"):
        most = int(gpus.get(name.rpartition(":")[2], 0) * _GPU_SHARE)
        given = config.memory_bytes
        return most if given is None else min(given, most or given)
    given = config.memory_bytes or cpu_budget_bytes(available_memory_bytes())
    # What is remembered of prompts lies in the same memory, beside the models.
    return given - remembered_bytes(given)


def _free_gpu_bytes() -> dict[str, int]:
    """By the number of the GPU, in PCI bus order as torch counts here."""
    free: dict[str, int] = {}
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        said = subprocess.run(
            _QUERY, capture_output=True, text=True, timeout=_QUERY_S, check=True
        ).stdout
        for line in said.splitlines():
            index, free_mib = line.split(",")
            free[index.strip()] = int(free_mib) * _MIB
    return free
