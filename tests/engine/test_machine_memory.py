"""What is left of the machine's memory: the machine's own word, or a control group's."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.engine.machine_memory import (
    available_memory_bytes,
    cpu_budget_bytes,
    machine_memory_bytes,
)

KIB = 1024


def machine(root: Path, **files: str) -> Path:
    """A machine with 1,000 KiB available, and the files named by their paths with _ for /."""
    told = {"proc/meminfo": "MemTotal:  2000 kB\nMemAvailable:  1000 kB\nHugePages_Total: 0\n"}
    for name, text in (told | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_limit_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert available_memory_bytes(machine(tmp_path)) == 1000 * KIB
    group = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}
    assert available_memory_bytes(machine(tmp_path, **group)) == 1000 * KIB


def test_limit_of_a_group_counts_less_what_it_holds_beside_file_pages(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/memory.max": str(500 * KIB),
        "sys/fs/cgroup/a/memory.current": str(300 * KIB),
        "sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {100 * KIB}\n",
        "sys/fs/cgroup/a/b/memory.max": str(900 * KIB),
        "sys/fs/cgroup/a/b/memory.current": "0",
    }
    assert available_memory_bytes(machine(tmp_path, **files)) == 300 * KIB
    assert machine_memory_bytes(tmp_path) == 500 * KIB


@pytest.mark.parametrize("version", [1, 2])
def test_file_pages_that_were_read_more_than_once_can_be_had_as_well(tmp_path: Path, version: int):
    """As the weights of a model that is loaded for the second time."""
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": str(800 * KIB),
        "sys/fs/cgroup/memory.current": str(600 * KIB),
        "sys/fs/cgroup/memory.stat": f"inactive_file {KIB}\nactive_file {500 * KIB}\n",
    }
    older = {
        "proc/self/cgroup": "4:memory:/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": str(800 * KIB),
        "sys/fs/cgroup/memory/memory.usage_in_bytes": str(600 * KIB),
        # Its own alone, and those of the groups in it too.
        "sys/fs/cgroup/memory/memory.stat": f"active_file {KIB}\ninactive_file {KIB}\n"
        f"total_inactive_file {KIB}\ntotal_active_file {500 * KIB}\n",
    }
    told = machine(tmp_path, **(files if version == 2 else older))
    assert available_memory_bytes(told) == 701 * KIB


@pytest.mark.parametrize(("high", "most_kib"), [("max", 500), (str(400 * KIB), 400)])
def test_what_a_group_is_slowed_down_beyond_is_its_limit(tmp_path: Path, high: str, most_kib: int):
    files = {
        "proc/self/cgroup": "0::/a\n",
        "sys/fs/cgroup/a/memory.max": str(500 * KIB),
        "sys/fs/cgroup/a/memory.high": high,
        "sys/fs/cgroup/a/memory.current": str(100 * KIB),
    }
    assert available_memory_bytes(machine(tmp_path, **files)) == (most_kib - 100) * KIB
    assert machine_memory_bytes(tmp_path) == most_kib * KIB


def test_older_groups_are_read_and_a_hosts_path_falls_back_to_the_top(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:cpu:/x\n4:memory,pids:/of/the/host\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": str(400 * KIB),
        "sys/fs/cgroup/memory/memory.usage_in_bytes": str(150 * KIB),
        "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {50 * KIB}\n",
    }
    assert available_memory_bytes(machine(tmp_path, **files)) == 300 * KIB


def test_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "10",
        "sys/fs/cgroup/memory.current": "20",
    }
    assert available_memory_bytes(machine(tmp_path, **files)) == 0


def test_where_there_is_no_proc_the_whole_memory_is_known(tmp_path: Path) -> None:
    assert available_memory_bytes(tmp_path) == machine_memory_bytes(tmp_path) > 500 * KIB


def test_some_is_left_for_others() -> None:
    assert cpu_budget_bytes(1000) == pytest.approx(600)
