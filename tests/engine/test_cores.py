"""Cores are counted once, and a container's grant counts too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortex.engine.cores import group_limits, physical_cores, usable_cores


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n", encoding="utf-8")


def siblings(root: Path, cpu: int, text: str) -> None:
    write(root, f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", text)


def test_two_threads_of_one_core_are_one_core(tmp_path: Path) -> None:
    for cpu, text in {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}.items():
        siblings(tmp_path, cpu, text)

    assert physical_cores({0, 1, 2, 3}, tmp_path) == 2
    assert physical_cores({0, 2}, tmp_path) == 1


def test_processors_of_unknown_topology_are_cores(tmp_path: Path) -> None:
    assert physical_cores({0, 5, 6}, tmp_path) == 3


def test_a_grant_of_version_2_counts_at_every_level(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/a/b")
    write(tmp_path, "sys/fs/cgroup/a/b/cpu.max", "max 100000")
    write(tmp_path, "sys/fs/cgroup/a/cpu.max", "150000 100000")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "400000 100000")

    assert list(group_limits(tmp_path)) == [1.5, 4.0]


def test_a_grant_of_version_1_counts_and_minus_one_is_none(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "4:memory:/x\n1:cpu,cpuacct:/x\n0::/")
    for folder, quota in {"x": "-1", "": "300000"}.items():
        write(tmp_path, f"sys/fs/cgroup/cpu/{folder}/cpu.cfs_quota_us", quota)
        write(tmp_path, f"sys/fs/cgroup/cpu/{folder}/cpu.cfs_period_us", "100000")

    assert list(group_limits(tmp_path)) == [3.0]


def test_the_hosts_path_inside_a_container_still_finds_the_mounted_group(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/docker/0123")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "200000 100000")

    assert list(group_limits(tmp_path)) == [2.0]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells affinity")
def test_a_grant_below_one_core_leaves_one(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "50000 100000")

    assert usable_cores(tmp_path) == 1


def test_this_machine_has_cores() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
