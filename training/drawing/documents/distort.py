"""What happens to paper on its way to a camera or scanner: a turn, blur, noise, JPEG.

Glyphs move along with the turn. Strengths are light: whoever can read the clean page can read this.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from ..canvas import Paper
from ..types import Glyph, Picture

MOST_DEGREES = 3.0


@dataclass(frozen=True, slots=True)
class Wear:
    """How a page is worn; nothing of it by default."""

    degrees: float = 0.0
    blur_px: float = 0.0
    noise: float = 0.0
    jpeg_quality: int = 100


def choose_wear(rng: random.Random) -> Wear:
    """A third of all pages stay clean, as screenshots and exports are."""
    if rng.random() < 0.35:
        return Wear()
    return Wear(
        degrees=rng.uniform(-MOST_DEGREES, MOST_DEGREES) if rng.random() < 0.5 else 0.0,
        blur_px=rng.uniform(0.2, 0.7) if rng.random() < 0.35 else 0.0,
        noise=rng.uniform(2, 12) if rng.random() < 0.5 else 0.0,
        jpeg_quality=rng.randint(45, 92) if rng.random() < 0.5 else 100,
    )


def distort(rng: random.Random, plate: Picture, wear: Wear, paper: Paper) -> Picture:
    """A plate as a worn page of this paper: it is turned and blurred before it has colours."""
    picture = turned(plate, wear.degrees)
    image = picture.image
    if wear.blur_px:
        image = image.filter(ImageFilter.GaussianBlur(wear.blur_px))
    image = paper.printed(image)
    if wear.noise:
        image = _noisy(rng, image, wear.noise)
    if wear.jpeg_quality < 100:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=wear.jpeg_quality)
        image = Image.open(buffer).convert("RGB")
    return replace(picture, image=image)


def turned(picture: Picture, degrees: float) -> Picture:
    """The page turned about its middle, or less far where its text would leave the sheet."""
    width, height = picture.image.size
    while abs(degrees) > 0.2:
        glyphs = [_turn(glyph, degrees, width / 2, height / 2) for glyph in picture.glyphs]
        if _all_inside(glyphs, width, height, picture.text_px):
            paper = picture.image.getpixel((1, 1))
            image = picture.image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=paper)
            return replace(picture, image=image, glyphs=tuple(glyphs))
        degrees *= 0.6
    return picture


def _turn(glyph: Glyph, degrees: float, middle_x: float, middle_y: float) -> Glyph:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    dx, dy = glyph.x - middle_x, glyph.y - middle_y
    return replace(glyph, x=middle_x + cos * dx + sin * dy, y=middle_y - sin * dx + cos * dy)


def _all_inside(glyphs: Sequence[Glyph], width: int, height: int, text_px: float) -> bool:
    room = 0.6 * text_px
    return all(room <= g.x <= width - room and room <= g.y <= height - room for g in glyphs)


def _noisy(rng: random.Random, image: Image.Image, strength: float) -> Image.Image:
    """Grain, the same in all three colours."""
    grain = np.random.default_rng(rng.getrandbits(32))
    pixels = np.asarray(image, dtype=np.int16)
    noise = grain.standard_normal(pixels.shape[:2], dtype=np.float32) * strength
    worn = np.clip(pixels + noise.astype(np.int16)[..., None], 0, 255).astype(np.uint8)
    return Image.fromarray(worn)
