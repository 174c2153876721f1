"""What a load takes of its device's memory, as measured, and as it was expected to.

On a CPU these are the private bytes of the process: what is mapped from files the system can take
back. Pages of the pools that nobody has written to yet are not among them, and so they are not
expected either; on a GPU they are there from the start. Without Linux nothing is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch

from .heap import give_freed_memory_back
from .machine_memory import available_memory_bytes
from .memory import MemoryBudget

_STATUS = Path("/proc/self/status")
_PRIVATE = ("RssAnon", "VmSwap")


class LoadGauge:
    """Made before a load; says what that took when it is done. Nothing else may be loaded then."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._before_bytes = self._held_bytes()

    def taken_bytes(self) -> int:
        """0 where nobody can say, or where it was nothing."""
        return max(0, self._held_bytes() - self._before_bytes)

    def expected_bytes(self, budget: MemoryBudget) -> int:
        """By the estimate, without what was learned."""
        costs = budget.costs
        loaded_bytes = costs.loaded_bytes - costs.learned_bytes
        if self._device.type == "cuda":
            return loaded_bytes + budget.kv_bytes + budget.states_bytes
        return loaded_bytes

    def _held_bytes(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        give_freed_memory_back()  # what is kept for later work is nobody's
        return private_bytes()


def gpu_memory(device: torch.device) -> tuple[int, int]:
    """What is free of a GPU, and all that it has; 0 of what is none."""
    if device.type != "cuda":
        return 0, 0
    free_bytes, all_bytes = torch.cuda.mem_get_info(device)
    if shares_memory(device):
        # Its driver takes what the system keeps of files for taken. Where no file can be opened,
        # that has to do.
        with suppress(OSError):
            free_bytes = min(all_bytes, available_memory_bytes())
    return free_bytes, all_bytes


def shares_memory(device: torch.device) -> bool:
    """Whether it is a GPU that has the machine's memory for its own."""
    if device.type != "cuda":
        return False
    return bool(cast("Any", torch.cuda.get_device_properties(device)).is_integrated)


def torn_bytes(stats: Mapping[str, int]) -> int:
    """Of what torch.cuda.memory_stats says after all whole blocks were given back: the rest lies
    between tensors, and none larger than its gap can have any of it.
    """
    return stats.get("inactive_split_bytes.all.current", 0)


def private_bytes(status: Path = _STATUS) -> int:
    """Of this process, or the one whose status it is, what is swapped out among it: that a load
    pushed it there makes it no smaller. 0 where the system does not say.
    """
    if not status.exists():
        return 0
    # "RssAnon:     123456 kB"
    lines = (line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return sum(int(words.split()[0]) * 1024 for name, words in lines if name in _PRIVATE)
