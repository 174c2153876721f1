"""Whom the dashboard talks with: the peer that is watched, and after its death the next.

The network's library takes a third of a second to load: it is loaded when it is needed first, and
not while somebody types.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from cortex.peer.onlooker.asking import Door

if TYPE_CHECKING:
    from cortex.peer.client.steadfast import Asked


@asynccontextmanager
async def open_talk(
    doors: Callable[[], Sequence[Door]], on_moved: Callable[[str], None]
) -> AsyncGenerator[Asked]:
    async def now() -> Sequence[Door]:
        return doors()

    steadfast = await asyncio.to_thread(import_module, "cortex.peer.client.steadfast")
    async with steadfast.open_steadfast(now, on_moved) as asked:
        yield asked
