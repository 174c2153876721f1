"""Work on many bytes, kept off the event loop.

A loop that unpacks 64 MiB by itself hears nobody meanwhile: not the other clients, not the
children. Small work stays where it is, because changing threads costs more than it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_MANY_BYTES = 1024 * 1024


async def off_loop(size_bytes: int, work: Callable[[], T]) -> T:
    """What `work` returns, done on another thread where it concerns many bytes."""
    return work() if size_bytes <= _MANY_BYTES else await asyncio.to_thread(work)
