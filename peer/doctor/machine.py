"""What this machine brings: Python, torch, the driver, devices, memory, disks.

torch is never loaded: what it was built for is in its version. Devices are told by the driver's own
tool, in a process that may hang without harm.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..devices.gpus import Gpu, ask_for_gpus
from ..units import memory, memory_share
from .findings import Finding, fail, ok, warn

_GIB = 1024**3
# A model of 8 billion parameters in bfloat16 takes 16 GiB.
LITTLE_FOR_MODELS_BYTES = 20 * _GIB
LITTLE_FOR_STATE_BYTES = _GIB // 4
LITTLE_MEMORY_BYTES = 2 * _GIB
# The oldest Linux driver that runs each CUDA's programs: NVIDIA's CUDA release notes, "minor
# version compatibility".
_OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}
_INSTALL = "pip install 'cortex-fleet[engine]'"


@dataclass(frozen=True, slots=True)
class Machine:
    """`num_gpus` are those that the driver shows; `gpus` is None where its tool gave no answer."""

    python: str
    torch: str | None
    torch_is_for_cpus: bool
    num_gpus: int
    gpus: tuple[Gpu, ...] | None
    num_cores: int
    memory_bytes: int | None
    free_memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that is written to: what it is for, how much is free, whether we may write."""

    purpose: str
    path: Path
    free_bytes: int
    is_writable: bool
    little_bytes: int


async def look_at_machine(num_gpus: int, *, torch_is_for_cpus: bool) -> Machine:
    memory = await asyncio.to_thread(_memory)
    return Machine(
        python=platform.python_version(),
        torch=_version("torch"),
        torch_is_for_cpus=torch_is_for_cpus,
        num_gpus=num_gpus,
        gpus=await ask_for_gpus() if num_gpus else (),
        num_cores=os.cpu_count() or 1,
        memory_bytes=memory.get("MemTotal"),
        free_memory_bytes=memory.get("MemAvailable"),
    )


def look_at_place(purpose: str, path: Path, little_bytes: int) -> Place:
    """The folder, or the nearest one above it that is there."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    return Place(purpose, path, free_bytes, os.access(there, os.W_OK | os.X_OK), little_bytes)


def judge_machine(machine: Machine) -> list[Finding]:
    return [*_judge_software(machine), *_judge_devices(machine), *_judge_memory(machine)]


def judge_place(place: Place) -> Finding:
    said = f"{place.purpose}: {memory(place.free_bytes)} free in {place.path}"
    if not place.is_writable:
        fix = f"sudo chown -R $USER {place.path}, or name another folder"
        return fail("disk", f"{place.purpose}: {place.path} is not ours to write in", fix)
    if place.free_bytes < LITTLE_FOR_STATE_BYTES:
        return fail("disk", said, "make room there")
    if place.free_bytes < place.little_bytes:
        return warn("disk", said, "make room there, or name a folder on another disk")
    return ok("disk", said)


def _judge_software(machine: Machine) -> Iterator[Finding]:
    if machine.torch is None:
        text = f"python {machine.python} without torch: this machine asks, and computes nothing"
        yield warn("software", text, _INSTALL)
        return
    said = f"python {machine.python}, torch {machine.torch}"
    if machine.num_gpus and machine.torch_is_for_cpus:
        idle = "the NVIDIA device stays idle"
        yield warn("software", f"{said} is built for CPUs: {idle}", "install a torch with CUDA")
        return
    driver = machine.gpus[0].driver if machine.gpus else ""
    oldest = _oldest_driver(machine.torch)
    if driver and oldest and _major(driver) < oldest:
        text = f"{said} needs a driver of {oldest} or newer, this is {driver}"
        yield fail("software", text, "update the NVIDIA driver, or install a torch for this one")
        return
    yield ok("software", f"{said}, driver {driver}" if driver else said)


def _judge_devices(machine: Machine) -> Iterator[Finding]:
    if not machine.num_gpus:
        yield ok("device", f"no NVIDIA device: {machine.num_cores} CPU cores compute")
    elif not machine.gpus:
        text = f"the driver shows {machine.num_gpus} devices, and nvidia-smi does not answer"
        yield fail("device", text, "run nvidia-smi, and restart the machine if it hangs")
    for gpu in machine.gpus or ():
        free = memory_share(gpu.free_bytes, gpu.memory_bytes)
        yield ok("device", f"gpu {gpu.index} {gpu.name}: {free} free")


def _judge_memory(machine: Machine) -> Iterator[Finding]:
    if machine.memory_bytes is None or machine.free_memory_bytes is None:
        return
    said = f"memory: {memory_share(machine.free_memory_bytes, machine.memory_bytes)} available"
    if machine.free_memory_bytes < LITTLE_MEMORY_BYTES:
        yield warn("memory", said, "end what else takes memory, or bound the peer with --memory")
    else:
        yield ok("memory", said)


def _oldest_driver(torch: str) -> int | None:
    """Of torch's version as it is installed: 2.11.0+cu128 is for CUDA 12.8."""
    built = re.search(r"\+cu(\d{2})\d", torch)
    return _OLDEST_DRIVERS.get(int(built[1])) if built else None


def _major(version: str) -> int:
    digits = re.match(r"\d+", version)
    return int(digits[0]) if digits else 0


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _memory() -> dict[str, int]:
    """Of /proc/meminfo, in bytes; empty where there is none."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name: int(value.split()[0]) * 1024 for name, _, value in pairs if value.endswith("kB")}
