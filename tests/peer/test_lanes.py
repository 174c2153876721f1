"""The same work on many things: in order, so many at a time, and the first error is the end."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.lanes import in_lanes


@given(things=st.lists(st.integers(0, 5), max_size=12), num_lanes=st.integers(1, 4))
def test_results_are_in_the_order_of_the_things_however_long_each_takes(
    things: list[int], num_lanes: int
):
    under_way = most = 0

    async def work(thing: int) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(thing):
            await asyncio.sleep(0)
        under_way -= 1
        return f"{thing}!"

    results = asyncio.run(in_lanes(work, things, num_lanes))

    assert results == [f"{thing}!" for thing in things]
    assert most <= num_lanes


async def test_an_error_comes_as_itself_and_ends_what_is_under_way():
    begun: list[int] = []
    cancelled: list[int] = []

    async def work(thing: int) -> None:
        begun.append(thing)
        if thing == 1:
            await asyncio.sleep(0)
            raise KeyError(thing)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(thing)
            raise

    with pytest.raises(KeyError):
        await in_lanes(work, range(9), 3)

    assert (begun, sorted(cancelled)) == ([0, 1, 2], [0, 2])
