"""Whom the dashboard talks with: the peer that is watched, and after its death the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cortex.peer.onlooker.asking import Door

if TYPE_CHECKING:
    from types import ModuleType

    from cortex.peer.client.steadfast import Asked


@asynccontextmanager
async def open_talk(
    doors: Callable[[], Sequence[Door]], on_moved: Callable[[str], None]
) -> AsyncGenerator[Asked]:
    async def now() -> Sequence[Door]:
        return doors()

    # The network's library takes a third of a second to load: not while somebody types.
    steadfast = await asyncio.to_thread(_load)
    async with steadfast.open_steadfast(now, on_moved) as asked:
        yield asked


def _load() -> ModuleType:
    from cortex.peer.client import steadfast

    return steadfast
