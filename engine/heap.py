"""What the C library keeps of the memory that a step gives back.

By itself glibc hands freed tensors of a few hundred kilobytes and more back to the system at once,
and the next step takes the same pages again, each through a fault: a norm over 256 rows took six
times as long for it (bench/results/heap-cpu.json). Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
from typing import Any

# Of malloc.h: which setting is meant.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
# What a step works with and more; above it freed memory goes back as before.
_KEPT_BYTES = 1 << 30
_GROWTH_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """From now on freed memory stays with this process; whether the C library can do it.

    Before threads are started: it also makes them share one heap, as only that one can be kept.
    """
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    settings = (
        (_ARENA_MAX, 1),
        (_TRIM_THRESHOLD, _KEPT_BYTES),
        (_MMAP_THRESHOLD, _KEPT_BYTES),
        (_TOP_PAD, _GROWTH_BYTES),
    )
    return all([mallopt(name, value) == 1 for name, value in settings])


def give_freed_memory_back() -> None:
    """To the system, as far as whole pages are free: after a model went, say."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any | None:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, TypeError, AttributeError):
        return None
