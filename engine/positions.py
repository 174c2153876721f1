"""Positions of a prompt's tokens on the three rotary axes, and what generated tokens add to theirs.

No torch: computed once a request from the token ids and the picture grids, and nothing token by
token in Python, for whoever decodes waits meanwhile. The rule is Qwen's M-RoPE: text advances all
axes together; a picture holds time still, spreads over rows and columns, and then everything goes
on past its longer side.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidRequest

Grid = tuple[int, int, int]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RopePositions:
    """`axes` are time, height and width up to the end of the last picture, [3, tokens].

    A token behind that, at sequence index s, has position s + `delta` on all three axes, whether it
    is the prompt's or generated.
    """

    axes: Integers
    delta: int

    def at(self, index: int) -> tuple[int, int, int]:
        """Of the token at a sequence index."""
        if index < self.axes.shape[1]:
            time, height, width = self.axes[:, index].tolist()
            return time, height, width
        return index + self.delta, index + self.delta, index + self.delta

    def between(self, start: int, end: int) -> Integers:
        """[3, tokens], of the tokens from `start` to `end`."""
        num_listed = self.axes.shape[1]
        behind = np.arange(max(start, num_listed), end) + self.delta
        if start >= num_listed:
            return np.tile(behind, (3, 1))
        return np.concatenate([self.axes[:, start:end], np.tile(behind, (3, 1))], axis=1)


def rope_positions(
    token_ids: Sequence[int],
    image_grids: Sequence[Grid],
    merge: int,
    image_token_id: int | None,
    video_grids: Sequence[Grid] = (),
    video_token_id: int | None = None,
) -> RopePositions:
    """Walk the prompt by runs of image pads and video pads; between them is text.

    Grids count patches (time, rows, columns), in order of appearance; a video's are taken one
    temporal patch at a time, as its prompt is written. Raises InvalidRequest where the pads and
    the grids do not agree.
    """
    frames = [(1, h, w) for t, h, w in video_grids for _ in range(t)]
    kinds = ((image_token_id, image_grids), (video_token_id, frames))
    grids = {kind: iter(each) for kind, each in kinds if kind is not None}
    pieces: list[Integers] = []
    at = end = 0
    for start, run_end, kind in _runs(token_ids, grids):
        text = np.arange(at, at + start - end)
        at += len(text)
        cells, size = _picture_cells(run_end - start, _next_grid(grids[kind]), merge)
        pieces += [np.tile(text, (3, 1)), at + cells]
        at, end = at + size, run_end
    if any(next(rest, None) is not None for rest in grids.values()):
        raise InvalidRequest("the prompt holds fewer picture places than there are pictures.")
    empty = np.empty((3, 0), dtype=np.int64)
    return RopePositions(np.concatenate([empty, *pieces], axis=1), at - end)


def _runs(token_ids: Sequence[int], kinds: Iterable[int]) -> list[tuple[int, int, int]]:
    """Where tokens of one of these kinds begin and end, and of which."""
    runs: list[tuple[int, int, int]] = []
    present = [kind for kind in kinds if kind in token_ids]
    numbers = np.frombuffer(array("q", token_ids if present else ()), np.int64)
    for kind in present:
        places = np.flatnonzero(numbers == kind)
        parts = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
        runs += [(int(part[0]), int(part[-1]) + 1, kind) for part in parts]
    return sorted(runs)


def _next_grid(grids: Iterator[Grid]) -> Grid:
    grid = next(grids, None)
    if grid is None:
        raise InvalidRequest("the prompt holds more picture places than there are pictures.")
    return grid


def _picture_cells(num_places: int, grid: Grid, merge: int) -> tuple[Integers, int]:
    """One picture's merged cells in raster order, [3, cells], and how far it moves what follows."""
    times, height, width = grid[0], grid[1] // merge, grid[2] // merge
    if num_places != times * height * width:
        raise InvalidRequest(
            f"a picture of {times * height * width} cells has {num_places} places in the prompt."
        )
    cells = np.indices((times, height, width)).reshape(3, -1)
    cells[0] = 0
    return cells, max(height, width)
