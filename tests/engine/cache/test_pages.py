"""Pages are given out once, next to each other where that can be, and come back whole."""

from __future__ import annotations

import time
import unittest
from collections.abc import Iterable
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cortex.engine.cache.pages import PageAllocator, SequencePages
from cortex.engine.errors import InternalError


def held(allocator: PageAllocator, num_pages: int) -> SequencePages:
    pages = allocator.allocate(num_pages)
    assert pages is not None
    return pages


def largest_run(num_pages: int, taken: Iterable[SequencePages]) -> int:
    pages = {page for each in taken for page in each.pages}
    return max(map(len, "".join(" x"[page in pages] for page in range(num_pages)).split("x")))


def test_pages_come_as_one_run_from_the_smallest_gap_that_fits() -> None:
    allocator = PageAllocator(20)
    first, wall, second, rest = (held(allocator, n) for n in (5, 1, 3, 11))
    first.release()
    second.release()
    assert [*held(allocator, 3).pages] == [6, 7, 8]
    assert held(allocator, 4).runs() == [(0, 4)]
    assert ([*wall.pages], rest.runs()) == ([5], [(9, 11)])


def test_where_no_gap_fits_the_largest_are_put_together() -> None:
    allocator = PageAllocator(8)
    kept = [held(allocator, 1) for _ in range(8)]
    for index in (0, 2, 3, 4, 6):
        kept[index].release()
    assert held(allocator, 4).runs()[0] == (2, 3)
    assert allocator.num_free == 1


def test_sequence_grows_right_behind_itself_while_it_can() -> None:
    allocator = PageAllocator(10)
    growing = held(allocator, 2)
    wall = held(allocator, 2)
    assert growing.extend(1)
    assert [*growing.pages] == [0, 1, 4]
    assert growing.extend(2)
    assert [*growing.pages] == [0, 1, 4, 5, 6]
    wall.release()
    assert not growing.extend(6)
    assert [*growing.pages] == [0, 1, 4, 5, 6]
    assert growing.extend(5)
    assert allocator.num_free == 0


def test_sequence_grows_into_the_small_gap_behind_it_before_a_large_one() -> None:
    allocator = PageAllocator(20)
    growing, gap, wall = (held(allocator, n) for n in (2, 2, 1))
    gap.release()
    assert growing.extend(3)
    assert growing.runs() == [(0, 4), (5, 1)]
    assert [*wall.pages] == [4]


def test_too_many_pages_are_not_half_taken() -> None:
    allocator = PageAllocator(4)
    assert allocator.allocate(5) is None
    assert allocator.num_free == 4


def test_a_page_given_back_twice_is_an_error() -> None:
    allocator = PageAllocator(4)
    pages = held(allocator, 2)
    pages.release()
    with pytest.raises(InternalError, match="already given back"):
        pages.release()
    with pytest.raises(InternalError, match="already given back"):
        pages.extend(1)
    allocator.check_integrity()


def test_pages_of_nobody_are_noticed() -> None:
    allocator = PageAllocator(4)
    held(allocator, 2).pages.pop()
    with pytest.raises(InternalError, match="2 are free and 1 are held"):
        allocator.check_integrity()


def test_a_decode_step_does_not_search_the_pool() -> None:
    allocator = PageAllocator(200_000)
    sequences = [held(allocator, 1) for _ in range(64)]
    started_s = time.process_time()
    for _ in range(100):
        assert all(sequence.extend(1) for sequence in sequences)
    assert time.process_time() - started_s < 0.5


class Pages(RuleBasedStateMachine):
    """Any order of taking, growing and giving back."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = PageAllocator(24)
        self.held: list[tuple[SequencePages, int]] = []

    @rule(num_pages=st.integers(1, 25))
    def allocate(self, num_pages: int) -> None:
        largest, free = largest_run(24, [each for each, _ in self.held]), self.allocator.num_free
        pages = self.allocator.allocate(num_pages)
        assert (pages is None) == (num_pages > free)
        if pages is not None:
            assert (len(pages.runs()) == 1) == (num_pages <= largest)
            self.held.append((pages, num_pages))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), num_pages=st.integers(1, 6))
    def extend(self, data: st.DataObject, num_pages: int) -> None:
        index = data.draw(st.integers(0, len(self.held) - 1))
        pages, size = self.held[index]
        before, fits = list(pages.pages), num_pages <= self.allocator.num_free
        assert pages.extend(num_pages) == fits
        assert [*pages.pages[: len(before)]] == before
        self.held[index] = (pages, size + num_pages * fits)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        pages, _ = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        pages.release()

    @invariant()
    def books_agree(self) -> None:
        self.allocator.check_integrity()
        assert [len(pages.pages) for pages, _ in self.held] == [size for _, size in self.held]
        assert self.allocator.num_free == 24 - sum(size for _, size in self.held)


Pages.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPages = cast(type[unittest.TestCase], Pages.TestCase)
