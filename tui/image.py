"""A picture in characters: two pixels in each cell, one of them the upper half of a block.

It opens what a person chose on this machine, for that person to see; what a model is sent are the
bytes as they are. Where Pillow is not installed there is no picture.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.color import Color
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    from PIL import Image

_MAX_PIXELS = 40_000_000
_UPPER_HALF = "▀"
_ORIENTATION_TAG = 0x0112
# How pictures of the orientations from 2 on are turned upright, in Pillow's words.
_TURNS = (
    *("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE"),
    *("ROTATE_270", "TRANSVERSE", "ROTATE_90"),
)
_FIRST_ON_ITS_SIDE = 5

Pixel = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Drawing:
    """`width` and `height` are the picture's own, upright."""

    text: Text
    width: int
    height: int


def draw_picture(data: bytes, max_columns: int, max_rows: int) -> Drawing | None:
    """The first frame, upright, as large as the cells allow; None where it cannot be shown. A small
    terminal has no cell to give, and gets one.
    """
    try:
        from PIL import Image
    except ImportError:
        return None
    # Told on a terminal that something else is drawn on.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    box = (max(max_columns, 1), 2 * max(max_rows, 1))
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None
            orientation, size = _orientation(image), image.size
            image.draft("RGB", box)
            upright = image.convert("RGBA")
            if orientation > 1:
                upright = upright.transpose(Image.Transpose[_TURNS[orientation - 2]])
            if orientation >= _FIRST_ON_ITS_SIDE:
                size = size[::-1]
            upright.thumbnail(box, Image.Resampling.BOX)
            paper = Image.new("RGBA", upright.size, "white")
            shown = Image.alpha_composite(paper, upright).convert("RGB")
    except Exception:  # decoders raise nearly anything when bytes lie
        return None
    values = shown.tobytes()
    pixels: list[Pixel] = list(zip(values[::3], values[1::3], values[2::3], strict=True))
    rows = [pixels[at : at + shown.width] for at in range(0, len(pixels), shown.width)]
    return Drawing(_half_blocks(rows), *size)


def _orientation(image: Image.Image) -> int:
    """1 where the picture is upright, or does not say in words that can be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # a broken note about the picture does not make it a broken picture
        return 1
    return next((n for n in range(1, 2 + len(_TURNS)) if n == orientation), 1)


def _half_blocks(rows: list[list[Pixel]]) -> Text:
    """A row of cells for two rows of pixels; the last may have nothing below it."""
    lines: list[Text] = []
    for at in range(0, len(rows), 2):
        line = Text(no_wrap=True)
        below: list[Pixel] | list[None] = (
            rows[at + 1] if at + 1 < len(rows) else [None] * len(rows[at])
        )
        for upper, lower in zip(rows[at], below, strict=True):
            line.append(_UPPER_HALF, _style(upper, lower))
        lines.append(line)
    return Text("\n").join(lines)


def _style(upper: Pixel, lower: Pixel | None) -> Style:
    return Style(
        color=Color.from_rgb(*upper), bgcolor=None if lower is None else Color.from_rgb(*lower)
    )
