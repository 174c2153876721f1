"""How much of each device's memory the engines of a peer may use, and how much of that others have
taken. Who is asked for the numbers of GPUs is `gpus.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cortex.engine.machine_memory import available_memory_bytes, cpu_budget_bytes
from cortex.engine.memory import remembered_bytes
from cortex.engine.messages import Alive

from ..config import Card, PeerConfig
from .gpus import Gpu

_MIB = 1 << 20
# The rest is for what the driver and torch keep for themselves beside an engine's models.
_GPU_SHARE = 0.9
# What a device's context and its libraries take before an engine has loaded anything.
_EMPTY_ENGINE_BYTES = 1 << 30
# Small changes are not worth telling.
_STEP_BYTES = 64 * _MIB


def is_gpu(device: str) -> bool:
    """Those of a fake engine too, where it has several: it computes nothing there, and has the
    memory of the GPU of its number where the driver shows one.
    """
    return device.rpartition(":")[0] in ("cuda", "fake")


def gpu_of(config: PeerConfig, device: str, gpus: Iterable[Gpu]) -> Gpu | None:
    """None of one of which the memory is not told: of a slice, what the whole card has is."""
    card, gpu = config.card_of(device), shown_gpu(config, device, gpus)
    if gpu is None or not gpu.memory_bytes or (card is not None and card.is_slice):
        return None
    return gpu


def shown_gpu(config: PeerConfig, device: str, gpus: Iterable[Gpu]) -> Gpu | None:
    """The GPU that a device is, or is a slice of. A card is known by its UUID: its number is
    another's once one before it is plugged in or taken out.
    """
    number, card = device.rpartition(":")[2], config.card_of(device)
    shown = gpus if is_gpu(device) else ()
    return next((gpu for gpu in shown if _is_it(gpu, number, card)), None)


def _is_it(gpu: Gpu, number: str, card: Card | None) -> bool:
    if gpu.uuid.startswith("GPU-") and card is not None and card.id.startswith("GPU-"):
        return gpu.uuid == card.id
    return str(gpu.index) == number


def budget_bytes(
    config: PeerConfig, device: str, gpu: Gpu | None, alive: Alive | None = None
) -> int:
    """What the models of a device may have in all, whatever others have of it now. What the
    operator gives counts; of a GPU that nobody tells of it is nothing until its engine is `alive`.
    """
    if gpu is not None or device.startswith("cuda"):
        most = _gpu_bytes(gpu, alive)
        given = most if config.memory_bytes is None else min(config.memory_bytes, most)
        return max(0, given - (0 if alive is None else alive.remembered_bytes))
    given = config.memory_bytes or cpu_budget_bytes(available_memory_bytes())
    # What is remembered of prompts lies in the same memory, beside the models.
    return given - remembered_bytes(given)


def is_of_start(config: PeerConfig, device: str) -> bool:
    """Whether its budget stays what could be had of the machine when it was asked for first."""
    return device == "cpu" and config.memory_bytes is None


def foreign_bytes(
    budget_bytes: int,
    remembered_bytes: int,
    empty_bytes: int,
    touched_bytes: int,
    available_bytes: int,
) -> int:
    """How much of a CPU's budget is not to be had: what nobody has touched has to be available
    still. The engine that touches it also remembers prompts beside the models, up to so many bytes,
    and has `empty_bytes` where it does neither: these are touched or to come as well.
    """
    whole_bytes = budget_bytes + remembered_bytes + empty_bytes
    return _in_steps(whole_bytes - touched_bytes - available_bytes)


def prompts_bytes(most_bytes: int, room_bytes: int, alive: Alive | None) -> int:
    """What a CPU's engine may remember of prompts, by its own word; before that by its rule: no
    more than its part of what the machine has, however much the operator gives.
    """
    if alive is not None and alive.remembered_bytes:
        return alive.remembered_bytes
    return min(most_bytes, remembered_bytes(max(0, room_bytes)))


def foreign_gpu_bytes(
    budget_bytes: int, reserved_bytes: int, held_bytes: int | None, free_bytes: int
) -> int:
    """The same of a GPU, where an engine lets a new model have a share of what is free, once those
    that are there have all that they reserved. `held_bytes` is what our engine has by now, None
    where the driver does not tell: then it has it all.
    """
    whole_bytes = reserved_bytes + _EMPTY_ENGINE_BYTES
    to_come_bytes = 0 if held_bytes is None else whole_bytes - held_bytes
    return _in_steps(budget_bytes - reserved_bytes - _share(free_bytes - to_come_bytes))


def foreign_shared_bytes(
    budget_bytes: int, reserved_bytes: int, private_bytes: int, available_bytes: int, alive: Alive
) -> int:
    """The same of a GPU that has the machine's memory for its own: what its engine will remember of
    prompts is to come as well, as far as it is not among the process's private bytes; of those
    an engine that is away has none.
    """
    remembered_bytes = max(0, private_bytes - _EMPTY_ENGINE_BYTES)
    to_come_bytes = max(0, alive.remembered_bytes - remembered_bytes)
    held_bytes = None if private_bytes else 0
    left_bytes = available_bytes - to_come_bytes
    return foreign_gpu_bytes(budget_bytes, reserved_bytes, held_bytes, left_bytes)


def private_bytes(pid: int | None, proc: Path = Path("/proc")) -> int:
    """What a process has of the memory for itself alone; 0 for one that is not there."""
    try:
        fields = (proc / str(pid) / "statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _gpu_bytes(gpu: Gpu | None, alive: Alive | None) -> int:
    told_bytes = 0 if alive is None else alive.device_bytes
    if gpu is None and (alive is None or not alive.remembered_bytes):
        # Without the driver's tool nobody sees what others have: it is taken as theirs for good.
        return _share(alive.free_at_start_bytes) if alive is not None else 0
    shown_bytes = told_bytes if gpu is None else gpu.memory_bytes
    return _share(min(shown_bytes, told_bytes or shown_bytes) - _EMPTY_ENGINE_BYTES)


def _share(free_bytes: int) -> int:
    return max(0, int(free_bytes * _GPU_SHARE))


def _in_steps(missing_bytes: int) -> int:
    return max(0, -(-missing_bytes // _STEP_BYTES) * _STEP_BYTES)
