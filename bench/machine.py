"""What a figure was measured on: processor, memory, load, versions, and what processes hold.

Linux only: it reads /proc.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
# The place of the parent in /proc/PID/stat, counted after the name in brackets.
_PARENT_FIELD = 1
# And of its time in its own code and in the system's, in clock ticks.
_CPU_FIELDS = slice(11, 13)


def describe_machine() -> dict[str, Any]:
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_bytes": read_kib(_PROC / "meminfo", "MemTotal"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "cortex": _version("cortex-fleet"),
        "commit": _commit(),
    }


def load_average() -> float:
    """Of the last minute: what the machine did, whoever asks for it included."""
    return os.getloadavg()[0]


def available_bytes() -> int:
    """What can be taken without swapping."""
    return read_kib(_PROC / "meminfo", "MemAvailable")


def peak_bytes(pid: int) -> int:
    """The most memory that the process ever held, its mapped files included."""
    return read_kib(_PROC / str(pid) / "status", "VmHWM")


def resident_bytes(pid: int) -> int:
    """The memory that the process holds now, its mapped files included."""
    return read_kib(_PROC / str(pid) / "status", "VmRSS")


def forget_peak(pid: int) -> None:
    """Let `peak_bytes` begin again from what the process holds now."""
    (_PROC / str(pid) / "clear_refs").write_text("5")


def cpu_s(pid: int) -> float:
    """The CPU time that the process, all its threads, has taken so far."""
    stat = (_PROC / str(pid) / "stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[_CPU_FIELDS])) / os.sysconf("SC_CLK_TCK")


def tree_peak_bytes(root: int) -> int:
    """The peaks of a process and all below it, added up: an upper bound where they share memory."""
    return sum(peak_bytes(pid) for pid in tree(root))


def tree(root: int) -> list[int]:
    """A process and all below it, parents first, whatever sessions they have made."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and (parent := _parent(folder)) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _parent(folder: Path) -> int | None:
    try:
        stat = (folder / "stat").read_text()
    except OSError:
        return None  # it has ended meanwhile
    return int(stat.rpartition(")")[2].split()[_PARENT_FIELD])


def read_kib(path: Path, name: str) -> int:
    """A line `Name:   123 kB` of a file below /proc, in bytes; 0 where there is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def processor_name(listing: Path = _PROC / "cpuinfo") -> str:
    """What the kernel calls the processor, else its family."""
    try:
        lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _commit() -> str | None:
    """The checkout's commit, without asking git."""
    git = Path(__file__).resolve().parent.parent / ".git"
    if git.is_file():  # a worktree: the file says where its git folder is
        git = Path(git.read_text(encoding="utf-8").removeprefix("gitdir:").strip())
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        common = git / "commondir"
        base = git / common.read_text(encoding="utf-8").strip() if common.exists() else git
        return (base / head.removeprefix("ref: ")).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
