"""What the C library keeps of the memory that a process gives back.

For an engine's steps that is too little: by itself glibc hands freed tensors of a few hundred
kilobytes and more back to the system at once, and the next step takes the same pages again, each
through a fault: a norm over 256 rows took six times as long for it
(bench/heap.py of commit 6fb24bd2, since removed).
For a peer and its text process, which hold large bodies and pictures now and then, it is too much.
Other C libraries are left as they are. Standard library only.
"""

from __future__ import annotations

import ctypes
from typing import Any

# Of malloc.h: which setting is meant.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
# What a step works with and more; above it freed memory goes back as before.
_KEPT_BYTES = 1 << 30
_GROWTH_BYTES = 64 << 20
# Of which there are few at a time, in a process that computes nothing.
_LARGE_BYTES = 1 << 20


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


def give_large_blocks_back() -> None:
    """From now on what was large is the system's again as soon as it is freed.

    glibc begins like that, and stops at the first large block that is freed: those that follow are
    cut from a heap that lies in pieces. A peer grew to seven times a picture's request that way,
    over six of them one after the other, and a text process kept 600 MB of four large pictures.
    """
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


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
