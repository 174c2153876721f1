"""Positions of pictures among text, as far as the golden units do not say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.errors import InvalidRequest
from cortex.engine.positions import rope_positions

IMAGE = 9


@given(
    sides=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=4),
    text=st.integers(1, 5),
)
def test_text_after_pictures_goes_on_past_their_longer_sides(
    sides: list[tuple[int, int]], text: int
) -> None:
    ids = [1] * text
    for rows, columns in sides:
        ids += [IMAGE] * (rows * columns) + [1] * text
    grids = [(1, 2 * rows, 2 * columns) for rows, columns in sides]

    positions = rope_positions(ids, grids, 2, IMAGE)

    end = text * (len(sides) + 1) + sum(max(side) for side in sides)
    assert positions.delta == end - len(ids)
    assert positions.at(len(ids) - 1) == (end - 1,) * 3


def walked(ids: list[int], grids: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Token by token: text, and cells in raster order."""
    found: list[tuple[int, int, int]] = []
    left, at, index = list(grids), 0, 0
    while index < len(ids):
        if ids[index] != IMAGE:
            found.append((at, at, at))
            at, index = at + 1, index + 1
            continue
        rows, columns = left.pop(0)
        found += [(at, at + row, at + column) for row in range(rows) for column in range(columns)]
        at, index = at + max(rows, columns), index + rows * columns
    return found


@given(
    sides=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=3),
    text=st.lists(st.integers(1, 5), min_size=4, max_size=4),
    cuts=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_any_part_of_a_prompt_and_its_answer_has_the_positions_of_the_whole(
    sides: list[tuple[int, int]], text: list[int], cuts: tuple[int, int]
) -> None:
    ids = [1] * text[-1]
    for (rows, columns), length in zip(sides, text, strict=False):
        ids += [IMAGE] * (rows * columns) + [1] * length
    grids = [(1, 2 * rows, 2 * columns) for rows, columns in sides]
    positions = rope_positions(ids, grids, 2, IMAGE)
    start, end = min(cuts), min(cuts) + max(cuts)

    expected = walked([*ids, *[1] * 70], sides)[start:end]
    assert [*map(tuple, positions.between(start, end).T.tolist())] == expected
    assert [*map(positions.at, range(start, end))] == expected


def test_of_a_prompt_without_pictures_no_position_is_kept() -> None:
    assert rope_positions(range(1000), [], 1, None).axes.size == 0


@pytest.mark.parametrize(
    ("ids", "grids", "what"),
    [
        ([1, IMAGE], [(1, 4, 4)], "4 cells has 1 places"),
        ([1, IMAGE], [], "more picture places"),
        ([1, 2], [(1, 2, 2)], "fewer picture places"),
    ],
)
def test_places_and_pictures_must_agree(
    ids: list[int], grids: list[tuple[int, int, int]], what: str
) -> None:
    with pytest.raises(InvalidRequest, match=what):
        rope_positions(ids, grids, 2, IMAGE)
