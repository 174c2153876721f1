"""The characters in each merged cell: what the tower must name while it learns to see.

A cell is 32x32 pixels. Characters whose centre lies in its upper half fill the first slots from
left to right, those of its lower half the rest; 0 means none. The head that predicts them exists
in training only: without it the tower sits on a plateau.

A character whose centre is within a pixel of an edge belongs to either side as if by chance, and
with it every slot after it: a third of all characters stand so. A cell has several readings, as if
the print stood a little further left, right, higher or lower, and any of them is right.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from training.drawing.types import Glyph
from training.nano import CELL_PIXELS

CHARACTERS = "".join(c for c in string.printable if c.isprintable() and c != " ") + "£€"
NUM_CLASSES = len(CHARACTERS) + 1
SLOTS_PER_HALF = 5
NUM_SLOTS = 2 * SLOTS_PER_HALF
_CLASS = {c: i + 1 for i, c in enumerate(CHARACTERS)}
# Most slots are empty: at full weight they would drown the rest, at too little of it letters are
# seen that are not there.
_EMPTY_WEIGHT = 0.4
# As the page was drawn; further left and right; higher and lower.
_READ_AT_PX = ((0.0, 0.0), (-0.75, 0.0), (0.75, 0.0), (0.0, -0.75), (0.0, 0.75))


def cell_targets(
    glyphs: Sequence[Glyph], rows: int, columns: int, scale_x: float, scale_y: float
) -> np.ndarray:
    """int64 [rows * columns, readings, NUM_SLOTS] classes, for a picture resized by the scales."""
    placed = [
        (glyph.x * scale_x, glyph.y * scale_y, _CLASS[glyph.char])
        for glyph in sorted(glyphs, key=lambda g: g.x)
        if glyph.char in _CLASS
    ]
    readings = [_reading(placed, rows, columns, dx, dy) for dx, dy in _READ_AT_PX]
    return np.stack(readings, axis=1)


def _reading(
    placed: Sequence[tuple[float, float, int]], rows: int, columns: int, dx_px: float, dy_px: float
) -> np.ndarray:
    """int64 [rows * columns, NUM_SLOTS], with everything so many pixels further right and down."""
    targets = np.zeros((rows, columns, 2, SLOTS_PER_HALF), dtype=np.int64)
    used: dict[tuple[int, int, int], int] = {}
    for x_px, y_px, char in placed:
        x, y = (x_px + dx_px) / CELL_PIXELS, (y_px + dy_px) / CELL_PIXELS
        if not (0 <= x < columns and 0 <= y < rows):
            continue
        place = (int(y), int(x), int(y % 1.0 >= 0.5))
        slot = used.get(place, 0)
        if slot < SLOTS_PER_HALF:
            targets[place][slot] = char
            used[place] = slot + 1
    return targets.reshape(rows * columns, NUM_SLOTS)


class CellReader(nn.Module):
    """Names the characters of a merged cell from its row in the language model's space."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.slots = nn.Linear(hidden_size, NUM_SLOTS * NUM_CLASSES)

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """[cells, hidden] to logits [cells, NUM_SLOTS, NUM_CLASSES]."""
        return self.slots(self.norm(cells)).unflatten(-1, (NUM_SLOTS, NUM_CLASSES))


def cell_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How unlikely a half of a cell finds all its readings together, by slot; an empty one counts
    less.

    logits [cells, NUM_SLOTS, NUM_CLASSES], targets [cells, readings, NUM_SLOTS]. The readings are
    equally likely: what is lost is minus the log of the mean of their likelihoods.
    """
    readings = targets.shape[1]
    log_odds = logits.float().log_softmax(-1)[:, None].expand(-1, readings, -1, -1)
    found = log_odds.gather(-1, targets[..., None])[..., 0]
    weights = torch.where(targets > 0, 1.0, _EMPTY_WEIGHT)
    halves = (found * weights).view(-1, readings, 2, SLOTS_PER_HALF).sum(-1)
    likelihoods = halves.logsumexp(1) - math.log(readings)
    return -likelihoods.sum() / weights[:, 0].sum()


def cell_accuracy(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """The share of printed characters named in their slot of the first reading."""
    as_drawn = targets[:, 0]
    printed = as_drawn > 0
    return (logits.argmax(-1) == as_drawn)[printed].float().mean().item()
