"""Steps are alike by a few sizes, and their graphs are few."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.decoding.graphs import Graphs
from cortex.engine.decoding.keys import StepKey, bucket, most_numbers, most_parts, padded
from cortex.engine.sampling.wishes import Truncations

# Of sixteen heads of 256, as in Qwen3.5-9B.
PARTS = most_parts(16, 256)
NOTHING_LEFT_OUT = Truncations(top_k=False, top_p=False, min_p=False)


def key_of(num_rows: int, num_pages: int = 1) -> StepKey:
    return StepKey(num_rows, num_pages, NOTHING_LEFT_OUT, keeps_scores=False)


@given(num_rows=st.integers(1, 80), num_pages=st.integers(1, 9000), page=st.sampled_from([16, 64]))
def test_a_padded_step_has_room_for_the_step_and_is_not_much_larger(
    num_rows: int, num_pages: int, page: int
) -> None:
    key = padded(key_of(num_rows, num_pages), page, PARTS)

    if key is None:
        assert num_rows * num_pages * page > PARTS * 256 / 1.5**2
        return
    assert num_rows <= key.num_rows < 1.5 * num_rows
    assert num_pages <= key.num_pages < 1.5 * num_pages + 256 / page
    assert padded(key, page, PARTS) == key
    assert key.layout.size <= most_numbers(80, page, PARTS)


def test_a_long_conversation_has_graphs_alone_and_beside_short_ones() -> None:
    pages = 262_144 // 64
    found = [padded(key_of(num_rows, pages), 64, PARTS) for num_rows in (1, 12, 16)]

    assert [key and (key.num_rows, key.num_pages) for key in found] == [(1, 4096), (12, 4096), None]


@given(heads=st.integers(1, 128), dim=st.sampled_from([8, 64, 128, 256]), rows=st.integers(1, 256))
def test_sums_of_a_graph_take_no_more_than_their_bytes(heads: int, dim: int, rows: int) -> None:
    most = most_parts(heads, dim)
    longest = max(
        (
            key.num_pages
            for n in range(0, 9000, 256)
            if (key := padded(key_of(rows, n + 1), 64, most))
        ),
        default=0,
    )

    # As paged_attention makes them: [rows, heads, parts, dim] and two numbers more, in float32.
    assert rows * heads * (longest * 64 // 256) * (dim + 2) * 4 <= 256 << 20


def test_what_is_launched_is_in_the_key() -> None:
    others = [
        StepKey(3, 1, None, keeps_scores=True),
        StepKey(3, 1, NOTHING_LEFT_OUT, keeps_scores=True),
        StepKey(3, 1, Truncations(top_k=True, top_p=False, min_p=False), keeps_scores=False),
    ]

    assert len({padded(key, 64, PARTS) for key in (key_of(3), *others)}) == 4
    assert (
        padded(key_of(5), 64, PARTS)
        == padded(key_of(6, 4), 64, PARTS)
        != padded(key_of(6, 5), 64, PARTS)
    )


def test_beyond_the_largest_bucket_there_is_none() -> None:
    assert [bucket(n) for n in (1, 5, 33, 512, 513)] == [1, 6, 48, 512, None]
    assert padded(key_of(600), 64, PARTS) is None


class Done:
    has_room = True

    def __call__(self, work: Callable[[], None]) -> Done:
        return self

    def replay(self) -> None:
        pass


def test_a_graph_is_due_at_the_second_use_where_there_is_room() -> None:
    capture = Done()
    graphs: Graphs[StepKey] = Graphs(capture)

    assert [graphs.is_due(key_of(1)), graphs.is_due(key_of(2)), graphs.is_due(key_of(1))] == [
        False, False, True,
    ]  # fmt: skip
    capture.has_room = False
    assert not graphs.is_due(key_of(1))


def test_a_step_is_settled_once_it_has_its_graph_or_there_is_no_room_for_one() -> None:
    capture = Done()
    graphs: Graphs[StepKey] = Graphs(capture)
    for key in (key_of(1), key_of(2)):
        assert not graphs.is_settled(key)
        graphs.is_due(key)
    graphs.try_out(key_of(1), Done)

    assert [graphs.is_settled(key_of(rows)) for rows in (1, 2, 3)] == [True, False, False]
    capture.has_room = False
    assert [graphs.is_settled(key_of(rows)) for rows in (1, 2, 3)] == [True, True, True]


def test_the_graph_that_was_not_used_for_longest_makes_room() -> None:
    graphs: Graphs[StepKey] = Graphs(Done(), most=2)
    for rows in (1, 2):
        graphs.try_out(key_of(rows), Done)
    graphs.find(key_of(1))

    graphs.try_out(key_of(3), Done)

    assert [graphs.find(key_of(rows)) is not None for rows in (1, 2, 3)] == [True, False, True]


def test_one_that_went_is_not_made_again_at_once() -> None:
    graphs: Graphs[StepKey] = Graphs(Done(), most=1)
    assert [graphs.is_due(key_of(1)), graphs.is_due(key_of(1))] == [False, True]
    graphs.try_out(key_of(1), Done)
    graphs.try_out(key_of(2), Done)

    used = 0
    while graphs.is_settled(key_of(1)):
        assert not graphs.is_due(key_of(1))
        used += 1

    assert used == 32
    assert graphs.is_due(key_of(1))


def test_one_that_failed_was_the_last(caplog: pytest.LogCaptureFixture) -> None:
    graphs: Graphs[StepKey] = Graphs(Done())
    graphs.try_out(key_of(1), Done)

    def fail() -> None:
        raise RuntimeError("not permitted")

    with caplog.at_level(logging.WARNING):
        graphs.try_out(key_of(2), fail)

    assert not graphs.are_on and graphs.find(key_of(1)) is None
    assert not (graphs.is_due(key_of(1)) or graphs.is_due(key_of(1)))
    assert "not permitted" in caplog.text


def test_one_for_which_memory_did_not_reach_comes_later_and_the_others_stay() -> None:
    graphs: Graphs[StepKey] = Graphs(Done())
    graphs.try_out(key_of(1), Done)

    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has")

    assert graphs.try_out(key_of(2), fail) is None

    assert graphs.find(key_of(1)) is not None and graphs.is_settled(key_of(2))
    assert [graphs.is_due(key_of(2)) for _ in range(1025)] == [False] * 1024 + [True]
