"""How much of each device's memory the engines of a peer may use, as the machine is now."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from cortex.engine.machine_memory import available_memory_bytes, cpu_budget_bytes
from cortex.engine.memory import remembered_bytes

from ..config import PeerConfig

_MIB = 1 << 20
# The rest is for what the driver and torch keep for themselves.
_GPU_SHARE = 0.9
_QUERY = ("nvidia-smi", "--query-gpu=index,memory.free", "--format=csv,noheader,nounits")
_QUERY_S = 5.0
# Small changes are not worth telling.
_STEP_BYTES = 64 * _MIB
# Where the driver's tool tells nothing: an engine finds out by itself what it can have.
_UNKNOWN_BYTES = 1 << 40


def read_budgets(config: PeerConfig) -> tuple[int, ...]:
    """By device. What the operator gives counts; a GPU that nobody tells of has no bounds. Waits
    for a tool of the driver's: not for the event loop.
    """
    gpus = (
        _free_gpu_bytes() if any(name.startswith("cuda") for name in config.engine_devices) else {}
    )
    return tuple(_budget(config, name, gpus) for name in config.engine_devices)


def foreign_bytes(budget_bytes: int, touched_bytes: int, available_bytes: int) -> int:
    """How much of a budget is not to be had: what nobody has touched has to be available still."""
    missing_bytes = budget_bytes - touched_bytes - available_bytes
    return max(0, -(-missing_bytes // _STEP_BYTES) * _STEP_BYTES)


def private_bytes(pid: int | None, proc: Path = Path("/proc")) -> int:
    """What a process has of the memory for itself alone; 0 for one that is not there."""
    try:
        fields = (proc / str(pid) / "statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _budget(config: PeerConfig, name: str, gpus: dict[str, int]) -> int:
    if name.startswith("cuda"):
        free_bytes = gpus.get(name.rpartition(":")[2])
        most = _UNKNOWN_BYTES if free_bytes is None else int(free_bytes * _GPU_SHARE)
        return most if config.memory_bytes is None else min(config.memory_bytes, most)
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
