"""What a tower sees is told by half rows of cells, whatever cell a character is named in."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from PIL import Image

from training.cells import CHARACTERS, NUM_CLASSES, NUM_SLOTS, SLOTS_PER_HALF
from training.drawing.types import Facts, Glyph, Picture
from training.sight import Sight, edit_distance, half_rows, sight_of

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("printed", "named", "distance"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3)],
)
def test_each_insertion_deletion_and_replacement_counts(
    printed: str, named: str, distance: int
) -> None:
    assert edit_distance(list(map(ord, printed)), list(map(ord, named))) == distance


def test_half_rows_go_from_top_to_bottom_and_from_left_to_right() -> None:
    slots = torch.arange(6 * NUM_SLOTS).view(6, NUM_SLOTS)  # two rows of three cells
    halves = half_rows(slots, (1, 4, 6))
    firsts = torch.tensor([[0, 10, 20], [5, 15, 25], [30, 40, 50], [35, 45, 55]])
    assert torch.equal(halves[:, :, 0], firsts)


class _Names:
    """Sees one character in the first slot of every half cell."""

    def __init__(self, char: str) -> None:
        self.model = self
        self._class = CHARACTERS.index(char) + 1

    def encode_images(self, patches: torch.Tensor, grids: object) -> torch.Tensor:
        return torch.zeros(len(patches) // 4, 1)

    def cell_reader(self, cells: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(cells), NUM_SLOTS, NUM_CLASSES)
        logits[:, :, 0] = 1
        logits[:, ::SLOTS_PER_HALF, self._class] = 2
        return logits


@pytest.mark.parametrize(
    ("named", "y_px", "sight"),
    [
        ("a", 8, Sight(8, 0)),
        ("b", 8, Sight(8, 8)),
        ("a", 24, Sight(8, 0)),
        ("b", 15.6, Sight(0, 0)),
    ],
)
def test_only_half_rows_that_a_line_surely_stands_in_are_judged(
    named: str, y_px: float, sight: Sight
) -> None:
    glyphs = tuple(Glyph("a", 32 * column + 16, y_px) for column in range(8))
    blank = Image.new("RGB", (8 * 32, 32), "white")
    picture = Picture(blank, glyphs, Facts(("aaaaaaaa",)), "line")

    assert sight_of(cast("Any", _Names(named)), picture) == sight
