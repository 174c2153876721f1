"""Freed memory stays with the engine process until it is given back, and not with a peer."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import torch
from cortex.engine.heap import give_freed_memory_back, keep_freed_memory

def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

assert keep_freed_memory()
before = resident_bytes()
blocks = [torch.ones(1 << 20) for _ in range(64)]
del blocks
print(resident_bytes() - before)
give_freed_memory_back()
print(resident_bytes() - before)
"""
_BLOCKS_BYTES = 64 * 4 * (1 << 20)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
def test_freed_tensors_stay_until_they_are_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    kept_bytes, left_bytes = map(int, done.stdout.split())
    assert kept_bytes > 0.9 * _BLOCKS_BYTES
    assert left_bytes < 0.1 * _BLOCKS_BYTES


_LARGE_PROGRAM = """
from cortex.engine.heap import give_large_blocks_back

def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

give_large_blocks_back()
bytearray(b"x" * (16 << 20))  # after the first one is freed, glibc by itself keeps the next
before = resident_bytes()
blocks = [bytearray(b"x" * (4 << 20)) for _ in range(8)]
last = blocks[-1]  # what lies beneath it cannot go where all come from one heap
del blocks
print(resident_bytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
def test_large_blocks_of_a_peer_go_back_one_by_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LARGE_PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout) < 6 << 20
