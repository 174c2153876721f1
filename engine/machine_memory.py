"""How much of a machine's memory this process could still have.

Reads what Linux says of the machine and of the control groups that the process is in, whichever
leaves least; elsewhere the machine's whole memory is all that is known. What may be taken of it is
decided by `cpu_budget_bytes`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The rest is for the peer, the text process, and whatever else the machine is there for.
_CPU_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """Where one version of control groups has its groups, and what their files are called.

    The first of the limits is there in every group but the machine's own. Beyond `memory.high` the
    kernel slows a group down rather than let it grow: what it promises cannot be had either.
    """

    top: str
    limits: tuple[str, ...]
    usage: str
    cached: tuple[str, ...]


_V1 = _Hierarchy(
    "sys/fs/cgroup/memory",
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_V2 = _Hierarchy(
    "sys/fs/cgroup",
    ("memory.max", "memory.high"),
    "memory.current",
    ("inactive_file", "active_file"),
)


def cpu_budget_bytes(available_bytes: int) -> int:
    """What an engine on the CPU takes where nobody has said how much it may."""
    return int(available_bytes * _CPU_SHARE)


def machine_memory_bytes(root: Path = Path("/")) -> int:
    """All of it, or what the control groups of this process allow: a container's."""
    all_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError):  # as where no file can be opened
        limits = [_limit(folder, hierarchy) for folder, hierarchy in _groups(root)]
        return min([all_bytes, *(limit for limit in limits if limit is not None)])
    return all_bytes


def available_memory_bytes(root: Path = Path("/")) -> int:
    """Memory that could be had without pushing anybody out; `root` is where /proc and /sys are."""
    meminfo = root / "proc" / "meminfo"
    if not meminfo.exists():
        return machine_memory_bytes()
    # "MemAvailable:   15879900 kB"
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    free_bytes = int(fields["MemAvailable"].split()[0]) * 1024
    return max(0, min([free_bytes, *_group_rooms(root)]))


def _group_rooms(root: Path) -> Iterator[int]:
    """What each limited control group of this process has left."""
    for folder, hierarchy in _groups(root):
        yield from _room(folder, hierarchy)


def _groups(root: Path) -> Iterator[tuple[Path, _Hierarchy]]:
    """The control groups of this process, up to their hierarchies' tops."""
    groups = root / "proc" / "self" / "cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            hierarchy = _V2
        elif "memory" in controllers.split(","):
            hierarchy = _V1
        else:
            continue
        # Inside a container the path may be the host's: then only the top is there.
        top = root / hierarchy.top
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top) and (folder / hierarchy.limits[0]).exists():
                yield folder, hierarchy


def _room(folder: Path, hierarchy: _Hierarchy) -> Iterator[int]:
    """A group's limit less what it holds, but for file pages. Those that were read more than once,
    as weights that are loaded again, are reclaimed as well: so the machine counts its own.
    """
    limit, usage = _limit(folder, hierarchy), folder / hierarchy.usage
    if limit is None or not usage.exists():
        return
    stat = folder / "memory.stat"
    lines = stat.read_text().splitlines() if stat.exists() else []
    cached = sum(int(n) for key, n in map(str.split, lines) if key in hierarchy.cached)
    yield limit - (int(usage.read_text()) - cached)


def _limit(folder: Path, hierarchy: _Hierarchy) -> int | None:
    files = (folder / name for name in hierarchy.limits)
    told = [file.read_text().strip() for file in files if file.exists()]
    return min((int(words) for words in told if words != "max"), default=None)
