"""The characters in each merged cell: what the tower must name while it learns to see.

A cell is 32x32 pixels. Characters whose centre lies in its upper half fill the first slots from
left to right, those of its lower half the rest; 0 means none. The head that predicts them exists
in training only: without it the tower sits on a plateau.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

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


def cell_targets(
    glyphs: Sequence[Glyph], rows: int, columns: int, scale_x: float, scale_y: float
) -> np.ndarray:
    """int64 [rows * columns, NUM_SLOTS] classes, for a picture resized by the given scales."""
    targets = np.zeros((rows, columns, 2, SLOTS_PER_HALF), dtype=np.int64)
    used = np.zeros((rows, columns, 2), dtype=np.int64)
    for glyph in sorted(glyphs, key=lambda g: g.x):
        x, y = glyph.x * scale_x / CELL_PIXELS, glyph.y * scale_y / CELL_PIXELS
        if not (0 <= x < columns and 0 <= y < rows) or glyph.char not in _CLASS:
            continue
        place = (int(y), int(x), int(y % 1.0 >= 0.5))
        slot = used[place]
        if slot < SLOTS_PER_HALF:
            targets[place][slot] = _CLASS[glyph.char]
            used[place] += 1
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
    """Cross-entropy over all slots, empty ones at a small weight."""
    weight = torch.ones(NUM_CLASSES, device=logits.device)
    weight[0] = _EMPTY_WEIGHT
    return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), weight)


def cell_accuracy(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """The share of printed characters named in their slot."""
    printed = targets > 0
    return (logits.argmax(-1) == targets)[printed].float().mean().item()
