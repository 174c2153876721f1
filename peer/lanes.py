"""The same work on many things, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def in_lanes(
    work: Callable[[T], Awaitable[R]], things: Sequence[T], num_lanes: int
) -> list[R]:
    """What came of each, in the order of the things.

    Raises the first error there is; what else was under way has been cancelled then.
    """
    results: dict[int, R] = {}
    waiting = enumerate(things)

    async def run_lane() -> None:
        for place, thing in waiting:
            results[place] = await work(thing)

    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(num_lanes):
                lanes.create_task(run_lane())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[place] for place in range(len(things))]
