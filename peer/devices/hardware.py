"""What this machine has, as its peer tells the fleet of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from itertools import repeat

from cortex.engine.cores import usable_cores
from cortex.engine.machine_memory import machine_memory_bytes

from ..config import PeerConfig
from ..gossip.sections import Device, Hardware
from .device_memory import gpu_of, is_gpu
from .gpus import Gpu, ask_for_gpus


def read_hardware(
    config: PeerConfig,
    gpus: Sequence[Gpu] = (),
    budgets: Sequence[int] = (),
) -> Hardware:
    """A gateway has no device. The memory of a CPU, and of a GPU that does not tell its own, is
    what models may have of it, by the `budgets` of the devices.
    """
    memory_bytes = machine_memory_bytes()
    devices = (
        _device(config, name, gpu_of(config, name, gpus), budget)
        for name, budget in zip(config.engine_devices, budgets or repeat(0), strict=False)
    )
    return Hardware(tuple(devices), usable_cores(), memory_bytes)


async def look_at_hardware(config: PeerConfig, budgets: Sequence[int]) -> Hardware:
    """The same, once the driver has been asked for GPUs."""
    return read_hardware(config, await look_for_gpus(config), budgets=budgets)


async def look_for_gpus(config: PeerConfig) -> Sequence[Gpu]:
    """Those that the driver shows, where a device of the peer is one."""
    gpus = await ask_for_gpus() if any(map(is_gpu, config.engine_devices)) else None
    return gpus or ()


def read_system() -> str:
    return f"{platform.system()} {platform.machine()}"


def _device(config: PeerConfig, name: str, gpu: Gpu | None, budget_bytes: int) -> Device:
    kind, _, number = name.rpartition(":")
    most_bytes = budget_bytes if gpu is None else _given_bytes(config, gpu)
    if kind != "cuda":
        words = f"{usable_cores()} cores" if name == "cpu" else name
        return Device(words, most_bytes or machine_memory_bytes())
    card = config.card_of(name)
    words = f"gpu {number}" if card is None else card.name[:64]
    return Device(words, most_bytes)


def _given_bytes(config: PeerConfig, gpu: Gpu) -> int:
    return min(config.memory_bytes or gpu.memory_bytes, gpu.memory_bytes)
