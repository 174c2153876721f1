"""A page of answers to look at: pictures with question, truth and answer, right ones and wrong."""

from __future__ import annotations

import io
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from ..drawing.fonts import FONTS_FOLDER
from .score import Verdict

EXAMPLES_SEED = 3
NUM_EXAMPLES = 15
_COLUMNS, _PAGE_PX, _GAP_PX = 3, 1600, 12
_TILE_PX = (_PAGE_PX - _GAP_PX) // _COLUMNS - _GAP_PX
_MOST_HEIGHT_PX = 480
_LEAST_SCALE = 0.75  # smaller ones show letters that no person reads
_LETTERS_PX, _ROW_PX, _ROW_CHARS, _MOST_ROWS = 15, 20, 58, 3
_PAPER, _TILE, _INK, _RIGHT, _WRONG = "#dfe3e7", "#ffffff", "#202428", "#0a7d33", "#c2160c"
_FONT = FONTS_FOLDER / "training" / "dejavu-sans" / "DejaVuSans.ttf"


def choose_examples(verdicts: Sequence[Verdict], seed: int = EXAMPLES_SEED) -> tuple[Verdict, ...]:
    """Half of them wrong where there are so many, and of many kinds."""
    rng = random.Random(seed)
    fitting = [v for v in rng.sample(verdicts, len(verdicts)) if len(v.case.pngs) == 1]
    fitting = [v for v in fitting if _scale(v.case.pngs[0]) >= _LEAST_SCALE]
    wrong = _many_kinds(v for v in fitting if not v.right)
    right = _many_kinds(v for v in fitting if v.right)
    num_wrong = max(NUM_EXAMPLES // 2, NUM_EXAMPLES - len(right))
    chosen = wrong[:num_wrong]
    return (*chosen, *right[: NUM_EXAMPLES - len(chosen)])


def draw_examples(verdicts: Iterable[Verdict]) -> Image.Image:
    """A tile for each, the high ones first, put where a column has the most room."""
    bottoms = [_GAP_PX] * _COLUMNS
    places: list[tuple[Image.Image, tuple[int, int]]] = []
    for tile in sorted(map(_tile, verdicts), key=lambda tile: -tile.height):
        column = bottoms.index(min(bottoms))
        places.append((tile, (_GAP_PX + column * (_TILE_PX + _GAP_PX), bottoms[column])))
        bottoms[column] += tile.height + _GAP_PX
    page = Image.new("RGB", (_PAGE_PX, max(bottoms)), _PAPER)
    for tile, place in places:
        page.paste(tile, place)
    return page.quantize(128, dither=Image.Dither.NONE)


def _many_kinds(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The first of each kind, then the second of each, and so on."""
    kinds: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        kinds[verdict.case.kind].append(verdict)
    return [v for round in zip_longest(*kinds.values()) for v in round if v is not None]


def _tile(verdict: Verdict) -> Image.Image:
    picture = _opened(verdict.case.pngs[0])
    scale = min(1.0, _scale(verdict.case.pngs[0]))
    size = (round(picture.width * scale), round(picture.height * scale))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    colour = _RIGHT if verdict.right else _WRONG
    said = "right" if verdict.right else "wrong"
    rows = [
        *_rows("question", verdict.case.question, _INK),
        *_rows("truth", verdict.case.answer, _INK),
        *_rows(said, verdict.given, colour),
    ]
    height = size[1] + len(rows) * _ROW_PX + 3 * _GAP_PX
    tile = Image.new("RGB", (_TILE_PX, height), _TILE)
    tile.paste(picture, ((_TILE_PX - size[0]) // 2, _GAP_PX))
    canvas = ImageDraw.Draw(tile)
    canvas.rectangle((0, 0, _TILE_PX - 1, height - 1), outline=colour, width=3)
    font = ImageFont.truetype(str(_FONT), _LETTERS_PX)
    for number, (text, ink) in enumerate(rows):
        y = size[1] + 2 * _GAP_PX + number * _ROW_PX
        canvas.text((_GAP_PX, y), text, fill=ink, font=font)
    return tile


def _rows(name: str, text: str, ink: str) -> list[tuple[str, str]]:
    shown = text.strip().replace("\n", " / ")
    lines = wrap(f"{name}: {shown}", _ROW_CHARS, max_lines=_MOST_ROWS, placeholder=" ...")
    return [(line, ink) for line in lines]


def _scale(png: bytes) -> float:
    """How much of its size a picture keeps in a tile; above 1 where there is room to spare."""
    with Image.open(io.BytesIO(png)) as image:
        return min((_TILE_PX - 2 * _GAP_PX) / image.width, _MOST_HEIGHT_PX / image.height)


def _opened(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")
