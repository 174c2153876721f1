"""Positions of a prompt's tokens on the three rotary axes, and what generated tokens add to theirs.

Plain integers, no torch: computed once a request from the token ids and the picture grids.
The rule is Qwen's M-RoPE: text advances all axes together; a picture holds time still, spreads
over rows and columns, and then everything goes on past its longer side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .errors import InvalidRequest

Grid = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class RopePositions:
    """`axes` are time, height and width, one integer a token.

    A token generated at sequence index s has position s + `delta` on all three axes.
    """

    axes: tuple[list[int], list[int], list[int]]
    delta: int

    def at(self, index: int) -> tuple[int, int, int]:
        """Of the token at a sequence index, whether it is the prompt's or generated."""
        time, height, width = self.axes
        if index < len(time):
            return time[index], height[index], width[index]
        return index + self.delta, index + self.delta, index + self.delta


def rope_positions(
    token_ids: Sequence[int],
    image_grids: Sequence[Grid],
    merge: int,
    image_token_id: int | None,
    video_grids: Sequence[Grid] = (),
    video_token_id: int | None = None,
) -> RopePositions:
    """Walk the prompt by runs of text, image pads and video pads.

    Grids count patches (time, rows, columns), in order of appearance; a video's are taken one
    temporal patch at a time, as its prompt is written. Raises InvalidRequest where the pads and
    the grids do not agree.
    """
    grids = {
        image_token_id: iter(image_grids),
        video_token_id: iter([(1, h, w) for t, h, w in video_grids for _ in range(t)]),
    }
    grids.pop(None, None)
    axes: tuple[list[int], list[int], list[int]] = ([], [], [])
    at = 0
    kind_of = {token_id: token_id for token_id in grids}
    for kind, run in itertools.groupby(token_ids, kind_of.get):
        length = len(list(run))
        if kind is None:
            for axis in axes:
                axis.extend(range(at, at + length))
            at += length
        else:
            at = _place_picture(axes, at, length, _next_grid(grids[kind]), merge)
    if any(next(rest, None) is not None for rest in grids.values()):
        raise InvalidRequest("the prompt holds fewer picture places than there are pictures.")
    return RopePositions(axes, at - len(token_ids))


def _next_grid(grids: Iterator[Grid]) -> Grid:
    grid = next(grids, None)
    if grid is None:
        raise InvalidRequest("the prompt holds more picture places than there are pictures.")
    return grid


def _place_picture(
    axes: tuple[list[int], list[int], list[int]], at: int, length: int, grid: Grid, merge: int
) -> int:
    """Append one picture's merged cells in raster order; the position after it."""
    times, height, width = grid[0], grid[1] // merge, grid[2] // merge
    if length != times * height * width:
        raise InvalidRequest(
            f"a picture of {times * height * width} cells has {length} places in the prompt."
        )
    for _ in range(times):
        for row in range(height):
            axes[0].extend([at] * width)
            axes[1].extend([at + row] * width)
            axes[2].extend(range(at, at + width))
    return at + max(height, width)
