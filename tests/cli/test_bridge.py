"""The asynchronous door, used from a plain command."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from cortex.cli.bridge import Bridge, bridge


@pytest.fixture
def loop() -> Generator[Bridge]:
    with bridge() as opened:
        yield opened


async def count(limit: int, log: list[str]) -> AsyncGenerator[int]:
    try:
        async with asyncio.timeout(60):  # which minds in which task it is entered and left
            for number in range(limit):
                yield number
                await asyncio.sleep(0)
    finally:
        log.append("closed")


def test_things_come_in_order_and_the_source_is_closed_at_its_end(loop: Bridge) -> None:
    log: list[str] = []
    assert list(loop.iterate(count(200, log))) == list(range(200))
    assert log == ["closed"]


def test_a_reader_that_stops_closes_the_source(loop: Bridge) -> None:
    log: list[str] = []
    with contextlib.closing(loop.iterate(count(10**9, log))) as numbers:
        assert next(numbers) == 0
    assert log == ["closed"]


def test_a_source_does_not_run_far_ahead_of_its_reader(loop: Bridge) -> None:
    given: list[int] = []

    async def source() -> AsyncGenerator[int]:
        for number in range(10_000):
            given.append(number)
            yield number

    with contextlib.closing(loop.iterate(source())) as numbers:
        next(numbers)
        for _ in range(20):
            loop.call(asyncio.sleep(0))
        assert len(given) < 100


def test_what_a_source_raises_reaches_the_reader_after_what_it_gave(loop: Bridge) -> None:
    async def source() -> AsyncGenerator[int]:
        yield 1
        raise LookupError("gone")

    numbers = loop.iterate(source())
    assert next(numbers) == 1
    with pytest.raises(LookupError, match="gone"):
        next(numbers)


def test_a_context_is_entered_and_left_by_one_task_of_the_loop(loop: Bridge) -> None:
    tasks: list[Any] = []

    @contextlib.asynccontextmanager
    async def manager() -> AsyncGenerator[str]:
        async with asyncio.TaskGroup():
            tasks.append(asyncio.current_task())
            try:
                yield "value"
            finally:
                tasks.append(asyncio.current_task())

    with loop.entered(manager()) as value:
        assert value == "value"
    assert tasks[0] is tasks[1]


def test_a_context_is_left_when_the_block_raises(loop: Bridge) -> None:
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def manager() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            log.append("left")

    with pytest.raises(KeyboardInterrupt), loop.entered(manager()):
        raise KeyboardInterrupt
    assert log == ["left"]


def test_a_context_that_cannot_be_entered_says_why(loop: Bridge) -> None:
    @contextlib.asynccontextmanager
    async def manager() -> AsyncGenerator[None]:
        raise LookupError("nobody there")
        yield

    with pytest.raises(LookupError, match="nobody there"), loop.entered(manager()):
        raise AssertionError("entered")


def test_the_loop_ends_with_its_block() -> None:
    before = threading.active_count()
    with bridge() as loop:
        loop.call(asyncio.sleep(0))
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
