"""What the NVIDIA driver's own tool says of this machine's GPUs: one question, one process.

A driver that is ill has its tool hang, fail or print anything: that is no answer, and costs a
process that is killed; while one cannot be killed no other is started. What the numbers mean for a
peer's budgets is `device_memory.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

_TOOL = "nvidia-smi"
# Where WSL and distributions have it, which is not on the path of every service and every sudo.
_ELSEWHERE = ("/usr/lib/wsl/lib", "/usr/bin", "/run/current-system/sw/bin")
FORMAT = "--format=csv,noheader,nounits"
_FIELDS = (
    "index", "name", "memory.total", "memory.free", "driver_version", "uuid",
    "utilization.gpu", "temperature.gpu", "power.draw",
)  # fmt: skip
_GPUS = f"--query-gpu={','.join(_FIELDS)}"
_PROCESSES = "--query-compute-apps=pid,used_gpu_memory"
_MIB = 1 << 20
ANSWER_S = 5.0
# A killed process that does not end is stuck in the driver: nobody can wait for that.
_KILL_S = 1.0
_MOST_BYTES = 1 << 20
# Those that are, each with the loop that would hear of its end. They are the program's, whoever of
# it asked: a new one every few seconds would take all the files that it may open.
_stuck: list[tuple[asyncio.subprocess.Process, asyncio.AbstractEventLoop]] = []


# Why the tool has said nothing: it is not there, did not end in time, or failed.
Silence = Literal["no tool", "too slow", "failed"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """`index` counts in PCI bus order. One of which the memory is not told has 0 bytes of it.
    `uuid` stays its own while others come and go: it begins with GPU- where it is told.
    `utilisation` is a share of the time, from 0 to 1; of readings, None is one that is not told.
    """

    index: int
    name: str
    memory_bytes: int
    free_bytes: int
    driver: str
    uuid: str = ""
    utilisation: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None


async def ask_for_gpus() -> tuple[Gpu, ...] | None:
    """None where the tool is not there, or does not answer."""
    found = await hear_of_gpus()
    return None if isinstance(found, str) else found


async def hear_of_gpus() -> tuple[Gpu, ...] | Silence:
    said = await hear(_GPUS, FORMAT)
    return said if isinstance(said, str) else read_gpus(said) or "failed"


async def ask_for_holders() -> Mapping[int, int] | None:
    """What processes have of the GPUs' memory, by their ids, as far as the tool tells: in a
    container it may know none. None where it does not answer.
    """
    said = await ask(_PROCESSES, FORMAT)
    return None if said is None else read_holders(said)


def read_gpus(lines: Iterable[str]) -> tuple[Gpu, ...] | None:
    """None where that is no list of devices; a device that is ill does not hide the others."""
    rows = map(cells, lines)
    return tuple(map(_gpu, (row for row in rows if _is_gpu(row)))) or None


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


def _is_gpu(row: Sequence[str]) -> bool:
    return len(row) == len(_FIELDS) and row[0].isdecimal()


def _gpu(row: Sequence[str]) -> Gpu:
    index, name, memory_mib, free_mib, driver, uuid, *readings = row
    is_told = memory_mib.isdecimal() and free_mib.isdecimal() and int(free_mib) <= int(memory_mib)
    memory_bytes, free_bytes = (int(memory_mib), int(free_mib)) if is_told else (0, 0)
    percent, temperature_c, power_w = map(_reading, readings)
    return Gpu(
        int(index),
        name,
        memory_bytes * _MIB,
        free_bytes * _MIB,
        driver,
        uuid,
        None if percent is None else min(percent / 100, 1.0),
        temperature_c,
        power_w,
    )


def _reading(word: str) -> float | None:
    """What a GPU does not tell is called [N/A] there, or the like."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


async def ask(*question: str, limit_s: float | None = None) -> list[str] | None:
    """The lines of the answer; None where there is none."""
    said = await hear(*question, limit_s=limit_s)
    return None if isinstance(said, str) else said


async def hear(*question: str, limit_s: float | None = None) -> list[str] | Silence:
    """The same, or why there is none."""
    if _is_stuck():
        return "too slow"
    try:
        process = await asyncio.create_subprocess_exec(
            shutil.which(_TOOL) or shutil.which(_TOOL, path=os.pathsep.join(_ELSEWHERE)) or _TOOL,
            *question,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return "no tool"
    assert process.stdout is not None
    said, is_answer, is_late = b"", False, False
    try:
        async with asyncio.timeout(limit_s or ANSWER_S):
            said = await _read(process.stdout)
            is_answer = await process.wait() == 0
    except TimeoutError:
        is_late = True
    finally:
        if process.returncode is None:
            await _end(process, process.stdout)
    if is_late:
        return "too slow"
    return said.decode("utf-8", "replace").splitlines() if is_answer else "failed"


async def _read(stream: asyncio.StreamReader) -> bytes:
    """All of it. Raises TimeoutError for what has no end."""
    said = b""
    while more := await stream.read(_MOST_BYTES):
        said += more
        if len(said) > _MOST_BYTES:
            raise TimeoutError
    return said


async def _end(process: asyncio.subprocess.Process, said: asyncio.StreamReader) -> None:
    """Its pipe is emptied as well: one that is full is no longer listened to, and never closed."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_S):
                while await said.read(_MOST_BYTES):
                    pass
                await process.wait()
    finally:
        if process.returncode is None:
            _stuck.append((process, asyncio.get_running_loop()))


def _is_stuck() -> bool:
    _stuck[:] = [
        (process, loop)
        for process, loop in _stuck
        if process.returncode is None and not loop.is_closed()
    ]
    return bool(_stuck)
