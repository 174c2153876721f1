"""Letters that no font here has: heavier or lighter, leaning, broad or narrow.

Two dozen families are few to learn the alphabet from. Glyphs move along with what happens to them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from PIL import Image

from .types import Picture


@dataclass(frozen=True, slots=True)
class Shape:
    """How letters differ from their font's; nothing of it by default.

    `breadth` is the width of a letter against its own, `lean` how far its top stands to the right
    of its foot, as a part of its height, and `weight` the power that thin ink is raised to: under 1
    strokes grow bolder, above it they fade.
    """

    breadth: float = 1.0
    lean: float = 0.0
    weight: float = 1.0


def choose_shape(rng: random.Random) -> Shape:
    """Half of all pages stay in their font."""
    if rng.random() < 0.5:
        return Shape()
    return Shape(
        breadth=rng.uniform(0.8, 1.2) if rng.random() < 0.6 else 1.0,
        lean=rng.uniform(-0.06, 0.22) if rng.random() < 0.4 else 0.0,
        weight=rng.uniform(0.55, 1.6) if rng.random() < 0.6 else 1.0,
    )


def plate_width(width: int, height: int, shape: Shape) -> int:
    """How wide a plate may be, in pixels, for its letters in this shape to fill `width`."""
    return int((width - abs(shape.lean) * height) / shape.breadth)


def reshaped(plate: Picture, shape: Shape, width: int) -> Picture:
    """A plate (ink 255 on 0) with its letters in this shape, on a sheet that is `width` wide."""
    image = plate.image
    if shape == Shape():
        return plate
    image = image.point([round(255 * (ink / 255) ** shape.weight) for ink in range(256)])
    # What leans to the left leans over what stands to the left of its foot.
    shift = shape.lean * image.height if shape.lean > 0 else 0.0
    lean = shape.lean / shape.breadth  # Pillow asks where each new pixel comes from
    origin = (1 / shape.breadth, lean, -shift / shape.breadth, 0.0, 1.0, 0.0)
    size = width, image.height
    image = image.transform(size, Image.Transform.AFFINE, origin, Image.Resampling.BICUBIC)
    glyphs = (replace(g, x=shape.breadth * g.x - shape.lean * g.y + shift) for g in plate.glyphs)
    return replace(plate, image=image, glyphs=tuple(glyphs))
