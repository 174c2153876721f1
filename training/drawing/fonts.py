"""Fonts of one side, opened once per face and size, and how wide their characters are.

Knows folders of font families: `FOLDER/FAMILY/FACE.ttf` with the licence beside it. Knows nothing
of what is printed with them. Pillow's basic layout is used throughout: one glyph per character,
so a character's place follows from the advances before it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont

FONTS_FOLDER = Path(__file__).parent.parent / "fonts"
_SUFFIXES = (".otf", ".ttf")


@dataclass(frozen=True, slots=True)
class Family:
    """`regular` for the running text, `bold` where a layout stresses a row (may be the same)."""

    name: str
    regular: Path
    bold: Path

    def faces(self) -> tuple[Path, ...]:
        return (self.regular,) if self.regular == self.bold else (self.regular, self.bold)


@dataclass(frozen=True, slots=True)
class SizedFont:
    """One face at one size, with its characters measured as they come up."""

    font: ImageFont.FreeTypeFont
    size_px: float
    advances: dict[str, float]

    def advance(self, char: str) -> float:
        known = self.advances.get(char)
        if known is None:
            known = self.advances[char] = self.font.getlength(char)
        return known

    def width(self, text: str) -> float:
        """Pixels from pen start to pen end; kerning, which is small, is left out."""
        return sum(map(self.advance, text))

    def centres(self, text: str) -> list[float]:
        """Where each character's middle lies, counted from the pen's start."""
        advances = [self.advance(char) for char in text]
        plain_width = sum(advances)
        # Some faces kern in the basic layout too: spread the difference over the whole text.
        stretch = self.font.getlength(text) / plain_width if plain_width else 1.0
        pen = 0.0
        middles: list[float] = []
        for advance in advances:
            middles.append((pen + advance / 2) * stretch)
            pen += advance
        return middles


# Every opened font maps its whole file: a worker that kept all would grow to gigabytes.
_MAX_OPEN_FONTS = 400


class FontShelf:
    """The families below one folder; the fonts used last are kept open for the next picture."""

    def __init__(self, folder: Path) -> None:
        self.families = tuple(_family(sub) for sub in sorted(folder.iterdir()) if sub.is_dir())
        self._open: dict[tuple[Path, float], SizedFont] = {}
        self._advances: dict[tuple[Path, float], dict[str, float]] = {}  # small: of all ever opened

    def pick_family(self, rng: random.Random) -> Family:
        return rng.choice(self.families)

    def pick_face(self, rng: random.Random) -> Path:
        return rng.choice(self.pick_family(rng).faces())

    def sized(self, face: Path, size_px: float) -> SizedFont:
        """The face at this size, in steps of half a pixel so that few are ever opened."""
        size_px = max(1.0, round(size_px * 2) / 2)
        key = (face, size_px)
        found = self._open.pop(key, None)
        if found is None:
            font = ImageFont.truetype(str(face), size_px, layout_engine=ImageFont.Layout.BASIC)
            found = SizedFont(font, size_px, self._advances.setdefault(key, {}))
        self._open[key] = found  # a dict keeps its order: the first is the one unused longest
        if len(self._open) > _MAX_OPEN_FONTS:
            del self._open[next(iter(self._open))]
        return found


def _family(folder: Path) -> Family:
    faces = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    bold = [path for path in faces if "Bold" in path.stem]
    regular = [path for path in faces if path not in bold]
    return Family(folder.name, regular[0], (bold or regular)[0])
