"""What is asked of the fleet's thread as that ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from cortex.peer.errors import HostLeaving
from cortex.peer.fleet.thread import FleetThread


class Occupied:
    """Turns to nothing that it is asked, and ends."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    async def run(self, on_begun: Callable[[], None]) -> None:
        on_begun()
        self.may_end.wait(20)


async def answer() -> None:
    """It never comes."""
    await asyncio.Event().wait()


async def test_who_asks_what_the_thread_never_gets_to_is_told_that_it_has_ended() -> None:
    inside = Occupied()
    thread = FleetThread(lambda _: cast(Any, inside), cast(Any, None))
    await thread.begin()
    asked = asyncio.create_task(thread.run(answer))
    await asyncio.sleep(0)
    inside.may_end.set()
    async with asyncio.timeout(20):
        with pytest.raises(HostLeaving):
            await asked
        with pytest.raises(HostLeaving):
            await thread.run(answer)
