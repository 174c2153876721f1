"""How large a picture is drawn, so that the model's own resizing leaves the text readable.

The model sees whole cells of 32 by 32 pixels, and as many pixels in all as the constants below
allow. Most pictures have sides of whole cells and are not resampled; some have any size; some are
drawn larger.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

CELL_PX = 32
LEAST_PIXELS = 8_192
MOST_PIXELS = 131_072


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture's size, and how much larger than usual its text must be for that size."""

    width: int
    height: int
    text_scale: float


def choose_frame(rng: random.Random, width: int, height: int, enlarged: float = 0.1) -> Frame:
    """Turn a size in whole cells into the size to draw: as it is, jittered, or enlarged."""
    roll = rng.random()
    if roll < enlarged:
        zoom = rng.uniform(1.3, 2.0)
        return Frame(round(width * zoom), round(height * zoom), zoom)
    if roll < enlarged + 0.3:
        drawn_width, drawn_height = _jitter(rng, width), _jitter(rng, height)
        return Frame(drawn_width, drawn_height, max(1.0, drawn_height / height))
    return Frame(width, height, 1.0)


def _jitter(rng: random.Random, side: int) -> int:
    """A side that is rounded back to the same number of cells."""
    most = min(CELL_PX // 2 - 1, side // 7)
    return side + rng.randint(-most, most)
