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
    assert [axis[-1] for axis in positions.axes] == [end - 1] * 3
    assert all(len(axis) == len(ids) for axis in positions.axes)


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
