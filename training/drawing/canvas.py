"""Paper and ink: text put at places, remembered glyph by glyph, and turned into a picture.

Knows colours, oversampling and pixels. Does not know what the text means or why it stands there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from .fonts import FontShelf
from .types import Facts, Glyph, Kind, Picture

Colour = tuple[int, ...]  # red, green and blue, or one number alone for how much ink there is
# Half the height of a capital over the baseline, as a part of the font size.
_MIDDLE = 0.35


@dataclass(frozen=True, slots=True)
class Paper:
    """What is printed on and with. `oversampling` draws larger and shrinks: softer edges."""

    background: Colour
    ink: Colour
    oversampling: int = 1

    def as_plate(self) -> Paper:
        """What to print on first where colours come later: one channel is a third of the work."""
        return Paper((0,), (255,), self.oversampling)

    def printed(self, plate: Image.Image) -> Image.Image:
        """A plate in these colours."""
        shades = range(256)
        bands = [
            plate.point([round(a + (b - a) * shade / 255) for shade in shades])
            for a, b in zip(self.background, self.ink, strict=True)
        ]
        return Image.merge("RGB", bands)


@dataclass(frozen=True, slots=True)
class Pen:
    face: Path
    size_px: float


def choose_paper(rng: random.Random) -> Paper:
    """Mostly dark on a light tint; some coloured ink, some light on dark."""
    roll = rng.random()
    if roll < 0.35:
        level = rng.randint(236, 255)
        background = (level, level, level)
        ink = _grey(rng, 0, 60)
    elif roll < 0.75:
        background = _tint(rng, 205, 255)
        ink = _tint(rng, 0, 80)
    elif roll < 0.92:
        background = _tint(rng, 170, 250)
        ink = _tint(rng, 0, 70)
    else:
        background = _tint(rng, 0, 70)
        ink = _tint(rng, 200, 255)
    return Paper(background, ink, 2 if rng.random() < 0.25 else 1)


class Canvas:
    """A sheet of paper in the making."""

    def __init__(self, shelf: FontShelf, width: int, height: int, paper: Paper) -> None:
        self.width, self.height = width, height
        self._shelf, self._paper, self._zoom = shelf, paper, paper.oversampling
        size = (width * self._zoom, height * self._zoom)
        mode = "L" if len(paper.background) == 1 else "RGB"
        self._image = Image.new(mode, size, paper.background)
        self._draw = ImageDraw.Draw(self._image)
        self._glyphs: list[Glyph] = []

    def measure(self, text: str, pen: Pen) -> float:
        """The width in pixels that `write` will take."""
        zoom = self._zoom
        return self._shelf.sized(pen.face, pen.size_px * zoom).width(text) / zoom

    def write(
        self, text: str, x: float, baseline: float, pen: Pen, *, inverse: bool = False
    ) -> None:
        """Print one line of text from `x` on, in the paper's colour where it stands on ink."""
        zoom = self._zoom
        sized = self._shelf.sized(pen.face, pen.size_px * zoom)
        self._draw.text(
            (x * zoom, baseline * zoom),
            text,
            fill=self._paper.background if inverse else self._paper.ink,
            font=sized.font,
            anchor="ls",
        )
        middle = baseline - _MIDDLE * pen.size_px
        self._glyphs.extend(
            Glyph(char, x + centre / zoom, middle, begins_word=before == " ")
            for before, char, centre in zip(f" {text}"[:-1], text, sized.centres(text), strict=True)
            if char != " "
        )

    def rule(self, x0: float, x1: float, y: float, thickness: float) -> None:
        """A horizontal line."""
        zoom = self._zoom
        box = (x0 * zoom, y * zoom, x1 * zoom, (y + thickness) * zoom - 1)
        self._draw.rectangle(box, fill=self._paper.ink)

    def frame(self, inset: float, radius: float, thickness: int) -> None:
        """A rounded box around everything, as on price labels."""
        zoom = self._zoom
        box = (
            inset * zoom,
            inset * zoom,
            (self.width - inset) * zoom - 1,
            (self.height - inset) * zoom - 1,
        )
        self._draw.rounded_rectangle(
            box, radius * zoom, outline=self._paper.ink, width=thickness * zoom
        )

    def box(
        self,
        corners: tuple[float, float, float, float],
        shade: float,
        line_px: float,
        radius: float,
    ) -> None:
        """A box filled with so much ink, 0 to 1, and with an edge of ink if it has a thickness."""
        x0, y0, x1, y1 = (round(side * self._zoom) for side in corners)
        paper = self._paper
        fill = tuple(
            round(a + shade * (b - a)) for a, b in zip(paper.background, paper.ink, strict=True)
        )
        self._draw.rounded_rectangle(
            (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)),
            radius * self._zoom,
            fill=fill,
            outline=paper.ink if line_px else None,
            width=round(line_px * self._zoom),
        )

    def finish(self, facts: Facts, kind: Kind) -> Picture:
        image = self._image if self._zoom == 1 else self._image.reduce(self._zoom)
        return Picture(image, tuple(self._glyphs), facts, kind)


def _grey(rng: random.Random, low: int, high: int) -> Colour:
    level = rng.randint(low, high)
    return (level, level, level)


def _tint(rng: random.Random, low: int, high: int) -> Colour:
    return (rng.randint(low, high), rng.randint(low, high), rng.randint(low, high))
