"""What this machine brings: Python, torch, the driver, devices, memory, disks.

torch is never loaded: others tell what it was built for. Devices are told by the driver's own
tool, in a process that may hang without harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import platform
import shutil
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cortex.engine.cores import usable_cores
from cortex.engine.machine_memory import available_memory_bytes, machine_memory_bytes

from ..config import Card
from ..devices.cards import OLDER_CUDA, too_old, too_weak, why_unseen
from ..devices.gpus import ANSWER_S, Gpu, Silence, hear_of_gpus
from ..locations import can_write, nearest_folder
from ..release import install_engine
from ..units import counted, memory, memory_share
from .advice import install_compiler, like_of
from .findings import Finding, fail, ok, warn

_GIB = 1024**3
# A model of 8 billion parameters in bfloat16 takes 16 GiB.
LITTLE_FOR_MODELS_BYTES = 20 * _GIB
LITTLE_FOR_STATE_BYTES = _GIB // 4
LITTLE_MEMORY_BYTES = 2 * _GIB
_UNTOLD = (
    "none where it has the machine's memory: its engine tells; else look for Xid in dmesg,"
    " and restart the machine"
)
_IN_A_CONTAINER = "in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility"


@dataclass(frozen=True, slots=True)
class Machine:
    """`torch_cuda` is the CUDA that torch was built for, empty where that is none and None where
    nobody knows. `num_gpus` are those that we may use, `gpus` what the driver's tool says of them,
    `missing` is what kernels for them are not compiled without, and `weak` says by number of GPUs
    that this torch has nothing for; `why_unseen` is why there may be none, and `install`
    says how to get what is missing.
    """

    python: str
    torch: str | None
    torch_cuda: str | None
    num_gpus: int
    gpus: tuple[Gpu, ...] | Silence
    num_cores: int
    memory_bytes: int
    free_memory_bytes: int | None
    missing: tuple[str, ...] = ()
    weak: Mapping[int, str] = field(default_factory=dict[int, str])
    why_unseen: str = ""
    install: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that is written to: what it is for, how much is free, whether we may write."""

    purpose: str
    path: Path
    free_bytes: int
    is_writable: bool
    little_bytes: int


async def look_at_machine(
    cards: Sequence[Card], torch_cuda: str | None, c_compiler: str | None = None
) -> Machine:
    """`c_compiler` is the one that was named: then Triton looks for no other."""
    include = Path(sysconfig.get_path("include"))
    return Machine(
        python=platform.python_version(),
        torch=_version("torch"),
        torch_cuda=torch_cuda,
        num_gpus=len(cards),
        gpus=await hear_of_gpus() if cards else (),
        num_cores=usable_cores(),
        memory_bytes=machine_memory_bytes(),
        free_memory_bytes=await asyncio.to_thread(_free_memory_bytes),
        missing=tuple(_missing(include, c_compiler)) if cards else (),
        weak={card.number: wrong for card in cards if (wrong := too_weak(card, torch_cuda))},
        why_unseen=why_unseen(),
        install=install_compiler(like_of(), include),
    )


def look_at_place(purpose: str, path: Path, little_bytes: int) -> Place:
    """The folder, or the nearest one above it that is there."""
    there = nearest_folder(path)
    free_bytes = shutil.disk_usage(there).free
    return Place(purpose, path, free_bytes, can_write(there), little_bytes)


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
        yield warn("software", text, install_engine())
        return
    said = f"python {machine.python}, torch {machine.torch}"
    if machine.num_gpus and machine.torch_cuda == "":
        idle = "the NVIDIA device stays idle"
        yield warn("software", f"{said} is built for CPUs: {idle}", "install a torch with CUDA")
        return
    gpus = () if isinstance(machine.gpus, str) else machine.gpus
    driver = gpus[0].driver if gpus else ""
    if wrong := too_old(driver, machine.torch_cuda):
        fix = "update the NVIDIA driver, or install a torch for this one"
        yield fail("software", f"{said}: {wrong}", fix)
        return
    if machine.missing:
        text = (
            f"there is no {' and no '.join(machine.missing)} here: GPUs compute by slower kernels"
        )
        yield warn("software", f"{said}: {text}", machine.install)
        return
    yield ok("software", f"{said}, driver {driver}" if driver else said)


def _judge_devices(machine: Machine) -> Iterator[Finding]:
    if not machine.num_gpus:
        said = f"no NVIDIA device: {machine.num_cores} CPU cores compute"
        yield ok("device", "; ".join(filter(None, (said, machine.why_unseen))))
        return
    if isinstance(machine.gpus, str):
        yield _judge_silence(machine.gpus, counted(machine.num_gpus, "NVIDIA device"))
        return
    for gpu in machine.gpus:
        said = f"gpu {gpu.index} {gpu.name}"
        if wrong := machine.weak.get(gpu.index):
            fix = f"{OLDER_CUDA}, or leave it out of --gpu"
            yield warn("device", f"{wrong}: it stays idle", fix)
        elif gpu.memory_bytes:
            free = memory_share(gpu.free_bytes, gpu.memory_bytes)
            yield ok("device", f"{said}: {free} free")
        else:
            yield warn("device", f"{said}: nvidia-smi tells no memory of it", _UNTOLD)


def _judge_silence(silence: Silence, devices: str) -> Finding:
    match silence:
        case "no tool":
            text, fix = "no nvidia-smi tells of their memory", "install it with the NVIDIA driver"
            return warn("device", f"{devices}, and {text}", f"{fix}; {_IN_A_CONTAINER}")
        case "too slow":
            text = f"{devices}, and nvidia-smi takes longer than {ANSWER_S:g} s"
            return fail("device", text, "sudo nvidia-smi -pm 1; restart the machine if it hangs")
        case "failed":
            text, fix = "nvidia-smi fails", "run nvidia-smi, and do what it says"
            return fail("device", f"{devices}, and {text}", fix)


def _judge_memory(machine: Machine) -> Iterator[Finding]:
    if machine.free_memory_bytes is None:
        return
    said = f"memory: {memory_share(machine.free_memory_bytes, machine.memory_bytes)} available"
    if machine.free_memory_bytes < LITTLE_MEMORY_BYTES:
        yield warn("memory", said, "end what else takes memory, or bound the peer with --memory")
    else:
        yield ok("memory", said)


def _missing(include: Path, c_compiler: str | None) -> Iterator[str]:
    """What Triton builds its launchers with."""
    if not any(map(shutil.which, [c_compiler] if c_compiler else ("gcc", "clang"))):
        yield "C compiler"
    if not (include / "Python.h").is_file():
        yield "Python.h"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _free_memory_bytes() -> int | None:
    """None where nobody tells: without Linux, or where what it says cannot be read."""
    if Path("/proc/meminfo").exists():
        with contextlib.suppress(OSError, KeyError, ValueError):
            return available_memory_bytes()
    return None
