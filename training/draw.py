"""Draw documents to look at: `python -m training.draw --kind invoice --count 8 --out runs/look`.

Writes one contact sheet a kind, and tells how many pages a second were drawn.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from PIL import Image

from training.drawing import draw_document, evaluation_book, training_book
from training.drawing.types import DocumentKind, Picture

_SHEET_PX, _GAP_PX = 1600, 8


def contact_sheet(pictures: Sequence[Picture]) -> Image.Image:
    """The pictures in rows, none made smaller unless it is wider than the sheet."""
    places: list[tuple[Image.Image, int, int]] = []
    x = y = bottom = 0
    for picture in sorted(pictures, key=lambda each: each.image.height):
        image = picture.image.copy()
        image.thumbnail((_SHEET_PX, _SHEET_PX))
        if x + image.width > _SHEET_PX:
            x, y = 0, bottom
        places.append((image, x, y))
        x, bottom = x + image.width + _GAP_PX, max(bottom, y + image.height + _GAP_PX)
    sheet = Image.new("RGB", (_SHEET_PX, bottom), (110, 110, 110))
    for image, left, top in places:
        sheet.paste(image, (left, top))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds: tuple[DocumentKind, ...] = get_args(DocumentKind)
    parser.add_argument("--kind", choices=kinds, action="append", help="this one only (repeatable)")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-cells", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--evaluation", action="store_true", help="as the evaluation draws them")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    book = evaluation_book() if args.evaluation else training_book()
    print("| kind | pages a second of CPU | cells a page |\n|---|---:|---:|")
    for kind in args.kind or kinds:
        rng = random.Random(f"{args.seed}:{kind}")
        started_s = time.process_time()
        pictures = [draw_document(rng, book, kind, args.max_cells) for _ in range(args.count)]
        took_s = time.process_time() - started_s
        cells = sum(p.image.width * p.image.height for p in pictures) / 1024 / args.count
        print(f"| {kind} | {args.count / took_s:.1f} | {cells:.0f} |", flush=True)
        contact_sheet(pictures).save(args.out / f"{kind}.png")


if __name__ == "__main__":
    main()
