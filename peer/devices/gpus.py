"""What the NVIDIA driver's own tool says of this machine's GPUs: one question, one process.

A driver that is ill has its tool hang, fail or print anything: that is no answer, and costs a
process that is killed. What the numbers mean for a peer's budgets is `device_memory.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_TOOL = "nvidia-smi"
_FORMAT = "--format=csv,noheader,nounits"
_GPUS = "--query-gpu=index,name,memory.total,memory.free,driver_version"
_PROCESSES = "--query-compute-apps=pid,used_gpu_memory"
_MIB = 1 << 20
_ANSWER_S = 5.0
# A killed process that does not end is stuck in the driver: nobody can wait for that.
_KILL_S = 1.0
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """`index` counts in PCI bus order, as torch is made to count in an engine process."""

    index: int
    name: str
    memory_bytes: int
    free_bytes: int
    driver: str


async def ask_for_gpus() -> tuple[Gpu, ...] | None:
    """None where the tool is not there, or does not answer."""
    said = await ask(_GPUS)
    return None if said is None else read_gpus(said)


async def ask_for_holders() -> Mapping[int, int]:
    """What processes have of the GPUs' memory, by their ids, as far as the tool tells: in a
    container it may know none.
    """
    return read_holders(await ask(_PROCESSES) or ())


def read_gpus(lines: Iterable[str]) -> tuple[Gpu, ...] | None:
    """None where that is no list of devices."""
    try:
        return tuple(_gpu(*cells(line)) for line in lines) or None
    except (TypeError, ValueError):
        return None


def read_holders(lines: Iterable[str]) -> Mapping[int, int]:
    """Without those of which the memory is not told."""
    held: dict[int, int] = {}
    for line in lines:
        with contextlib.suppress(ValueError):
            pid, used_mib = map(int, cells(line))
            held[pid] = held.get(pid, 0) + used_mib * _MIB
    return held


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split(",")]


def _gpu(index: str, name: str, memory_mib: str, free_mib: str, driver: str) -> Gpu:
    memory_bytes, free_bytes = int(memory_mib) * _MIB, int(free_mib) * _MIB
    if not 0 <= free_bytes <= memory_bytes:
        raise ValueError(f"{free_mib} of {memory_mib} MiB are free")
    return Gpu(int(index), name, memory_bytes, free_bytes, driver)


async def ask(query: str) -> list[str] | None:
    """The lines of the answer, of values that commas part; None where there is none."""
    try:
        process = await asyncio.create_subprocess_exec(
            _TOOL,
            query,
            _FORMAT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    assert process.stdout is not None
    said = None
    try:
        async with asyncio.timeout(_ANSWER_S):
            said = await _read(process.stdout)
            is_answer = await process.wait() == 0
    except TimeoutError:
        is_answer = False
    finally:
        if process.returncode is None:
            await _end(process)
    return said.decode("utf-8", "replace").splitlines() if said and is_answer else None


async def _read(stream: asyncio.StreamReader) -> bytes:
    """All of it. Raises TimeoutError for what has no end."""
    said = b""
    while more := await stream.read(_MOST_BYTES):
        said += more
        if len(said) > _MOST_BYTES:
            raise TimeoutError
    return said


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        process.kill()
        async with asyncio.timeout(_KILL_S):
            await process.wait()
