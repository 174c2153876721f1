"""Whom the dashboard talks and listens to: the peer that is watched, and after its death the next.

The network's library takes a third of a second to load: it is loaded when it is needed first, and
not while somebody types.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.asking import Door

if TYPE_CHECKING:
    from types import ModuleType

    from cortex.peer.client.steadfast import Asked
    from cortex.peer.onlooker.log_lines import LogLine, Skipped


@asynccontextmanager
async def open_talk(
    doors: Callable[[], Sequence[Door]], on_moved: Callable[[str], None]
) -> AsyncGenerator[Asked]:
    async def now() -> Sequence[Door]:
        return doors()

    steadfast = await _loaded("steadfast")
    async with steadfast.open_steadfast(now, on_moved) as asked:
        yield asked


@asynccontextmanager
async def open_log(
    doors: Callable[[], Sequence[Door]], peer: str, since_s: float
) -> AsyncGenerator[AsyncGenerator[LogLine | Skipped]]:
    """What a peer logs, from so many seconds ago on. Raises NoPeer where nobody is watched."""
    found = doors()
    if not found:
        raise NoPeer("no peer answers", "start one with: cortex peer")
    log_stream = await _loaded("log_stream")
    async with log_stream.following(found[0], peer, since_s) as lines:
        yield lines


async def _loaded(client: str) -> ModuleType:
    return await asyncio.to_thread(import_module, f"cortex.peer.client.{client}")
