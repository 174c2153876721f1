"""When a device counts as wedged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.children.stall import StallWatch


def test_counter_that_stands_still_under_work_for_the_deadline_is_a_stall() -> None:
    watch = StallWatch(3)
    assert [watch.beat(7, has_work=True) for _ in range(5)] == [False, False, False, True, True]


def test_idleness_is_no_stall_and_work_begins_with_its_whole_deadline() -> None:
    watch = StallWatch(3)
    assert not any(watch.beat(7, has_work=False) for _ in range(10))
    assert [watch.beat(7, has_work=True) for _ in range(3)] == [False, False, True]


def test_load_that_moves_is_no_stall() -> None:
    watch = StallWatch(3)
    for _ in range(10):
        assert not watch.beat(0, has_work=True)
        assert not watch.beat(0, has_work=True)
        watch.moved()


@given(st.lists(st.integers(0, 2**62), unique=True, min_size=2))
def test_counter_that_moves_is_never_a_stall(step_counts: list[int]) -> None:
    watch = StallWatch(1)
    assert not any(watch.beat(count, has_work=True) for count in step_counts)


def test_new_work_goes_elsewhere_long_before_the_deadline() -> None:
    watch = StallWatch(120)
    for _ in range(5):
        watch.beat(7, has_work=True)
        assert not watch.is_still
    watch.beat(7, has_work=True)
    assert watch.is_still
    watch.beat(8, has_work=True)
    assert not watch.is_still
