"""What this machine has, as its peer tells the fleet of it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from ..config import PeerConfig
from ..gossip.sections import Device, Hardware

_DRIVER = Path("/proc/driver/nvidia")
_MODEL = "Model:"


def read_hardware(config: PeerConfig, driver: Path = _DRIVER) -> Hardware:
    """A gateway has no device. On a CPU the device's memory is what the operator gives of it."""
    memory_bytes = _memory_bytes()
    devices = (_device(config, name, memory_bytes, driver) for name in config.engine_devices)
    return Hardware(tuple(devices), os.cpu_count() or 1, memory_bytes)


def read_system() -> str:
    return f"{platform.system()} {platform.machine()}"


def _device(config: PeerConfig, name: str, memory_bytes: int, driver: Path) -> Device:
    kind, _, number = name.rpartition(":")
    if kind != "cuda":
        words = f"{os.cpu_count() or 1} cores" if name == "cpu" else name
        return Device(words, config.memory_bytes or memory_bytes, 0, "")
    index = int(number)
    # What an engine may use of a GPU is known once it runs: the load records say it.
    return Device(_gpu_name(driver, index), 0, 0, _driver_version(driver))


def _gpu_name(driver: Path, index: int) -> str:
    """The driver's own word. The listing is in PCI bus order, as our numbers are."""
    try:
        folder = sorted((driver / "gpus").iterdir())[index]
        lines = (folder / "information").read_text(encoding="utf-8").splitlines()
    except (OSError, IndexError, UnicodeDecodeError):
        return f"gpu {index}"
    named = (line.removeprefix(_MODEL).strip() for line in lines if line.startswith(_MODEL))
    return next(named, f"gpu {index}")[:64]


def _driver_version(driver: Path) -> str:
    try:
        line = (driver / "version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
    return next((word for word in line.split() if word[0].isdigit() and "." in word), "")[:64]


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
