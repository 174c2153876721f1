"""The small set of pictures made with other tools than the drawing code: a browser, LibreOffice,
ImageMagick and terminals.

`answers.json` lists picture, kind, task, question and truth. Nothing is judged here.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image

from .cases import Case, aspect_of

HAND_FOLDER = Path(__file__).parents[2] / "examples" / "hand"


def hand_cases(folder: Path = HAND_FOLDER) -> tuple[tuple[str, Case], ...]:
    """File name and case of every picture in the folder's `answers.json`, in its order."""
    entries = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return tuple((entry["picture"], _to_case(folder, entry)) for entry in entries)


def _to_case(folder: Path, entry: dict[str, str]) -> Case:
    png = (folder / entry["picture"]).read_bytes()
    with Image.open(io.BytesIO(png)) as image:
        aspect = aspect_of(image)
    return Case(
        origin="hand",
        task=entry["task"],  # pyright: ignore[reportArgumentType]  # the file is ours, and tested
        kind=entry["kind"],
        pngs=(png,),
        question=entry["question"],
        answer=entry["truth"],
        aspect=aspect,
    )
