"""How much of a machine's memory this process could still have.

Reads what Linux says of the machine and of the control groups that the process is in, whichever
leaves least; elsewhere the machine's whole memory is all that is known. What may be taken of it is
decided by `cpu_budget_bytes`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

# The rest is for the peer, the text process, and whatever else the machine is there for.
_CPU_SHARE = 0.6


def cpu_budget_bytes(available_bytes: int) -> int:
    """What an engine on the CPU takes where nobody has said how much it may."""
    return int(available_bytes * _CPU_SHARE)


def machine_memory_bytes(root: Path = Path("/")) -> int:
    """All of it, or what the control groups of this process allow: a container's."""
    all_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError):  # as where no file can be opened
        limits = [_limit(folder, files[0]) for folder, files in _groups(root)]
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
    for folder, files in _groups(root):
        yield from _room(folder, *files)


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The control groups of this process, up to their hierarchies' tops."""
    groups = root / "proc" / "self" / "cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files = ("memory.max", "memory.current", "inactive_file")
            top = root / "sys" / "fs" / "cgroup"
        elif "memory" in controllers.split(","):
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            top = root / "sys" / "fs" / "cgroup" / "memory"
        else:
            continue
        # Inside a container the path may be the host's: then only the top is there.
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top) and (folder / files[0]).exists():
                yield folder, files


def _room(folder: Path, limit_file: str, usage_file: str, reclaimable: str) -> Iterator[int]:
    """A group's limit less what it holds; file pages not in use can be reclaimed at any time."""
    limit, usage = _limit(folder, limit_file), folder / usage_file
    if limit is None or not usage.exists():
        return
    stat = folder / "memory.stat"
    lines = stat.read_text().splitlines() if stat.exists() else []
    cached = next((int(n) for k, n in map(str.split, lines) if k == reclaimable), 0)
    yield limit - (int(usage.read_text()) - cached)


def _limit(folder: Path, limit_file: str) -> int | None:
    limit = (folder / limit_file).read_text().strip()
    return None if limit == "max" else int(limit)
