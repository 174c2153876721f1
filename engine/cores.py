"""How many processor cores this process may really keep busy.

The least of three: the cores it may run on, told by the scheduler, threads of one core counted
once; and the time a container's control group grants, in cores. Linux tells all of it; elsewhere
the machine's count stands. Knows nothing of what the cores are for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """At least 1. `root` is where /proc and /sys are read."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    physical = physical_cores(os.sched_getaffinity(0), root)
    return max(1, min([physical, *(int(cores) for cores in group_limits(root))]))


def physical_cores(cpus: set[int], root: Path) -> int:
    """Of these logical processors, those that are no second thread of another's core."""
    cores = {_read(_topology(root, cpu, "thread_siblings_list")) or str(cpu) for cpu in cpus}
    return len(cores)


def _topology(root: Path, cpu: int, name: str) -> Path:
    return root / f"sys/devices/system/cpu/cpu{cpu}/topology/{name}"


def group_limits(root: Path) -> Iterator[float]:
    """The cores each control group above this process grants, of either version of cgroups."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _limits_v2(root, path)
        elif "cpu" in controllers.split(","):
            yield from _limits_v1(root / "sys/fs/cgroup/cpu", path)


def _limits_v2(root: Path, path: str) -> Iterator[float]:
    for folder in _upwards(root / "sys/fs/cgroup", path):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            yield int(quota) / int(period)


def _limits_v1(mount: Path, path: str) -> Iterator[float]:
    for folder in _upwards(mount, path):
        quota = _read(folder / "cpu.cfs_quota_us")
        period = _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():  # -1 is no limit
            yield int(quota) / int(period)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """A group's folder and those above it. Inside a container the path may be the host's."""
    folder = mount / path.strip("/")
    yield folder
    while folder != mount:
        folder = folder.parent
        yield folder


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
