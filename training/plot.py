"""The training curve as a picture: `python -m training.plot runs/nano/curve.csv curve.png`.

Three accuracies over steps: characters named by the tower, answer tokens, whole answers.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SIZE = (960, 420)
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 40, 20, 50
_INK, _GRID, _PAPER = "#202428", "#d8dce0", "#ffffff"
_WINDOW = 9  # single batches are noisy: each point is the mean of its neighbours


@dataclass(frozen=True, slots=True)
class Curve:
    column: str
    label: str
    colour: str


CURVES = (
    Curve("cell_accuracy", "characters named by the tower", "#0b6e99"),
    Curve("token_accuracy", "answer tokens right", "#d9730d"),
    Curve("answer_accuracy", "whole answers right", "#6940a5"),
)


def read_points(path: Path, column: str) -> list[tuple[int, float]]:
    """(step, value) where the column has one, smoothed."""
    with path.open(newline="") as file:
        rows = [(int(r["step"]), float(r[column])) for r in csv.DictReader(file) if r[column]]
    smooth: list[tuple[int, float]] = []
    for n, (step, _) in enumerate(rows):
        near = rows[max(0, n - _WINDOW // 2) : n + _WINDOW // 2 + 1]
        smooth.append((step, sum(value for _, value in near) / len(near)))
    return smooth


def draw(path: Path) -> Image.Image:
    """All curves of a CSV on one chart from 0 to 100 %."""
    image = Image.new("RGB", _SIZE, _PAPER)
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    points = {curve: read_points(path, curve.column) for curve in CURVES}
    last_step = max(step for rows in points.values() for step, _ in rows)
    width, height = _SIZE[0] - _LEFT - _RIGHT, _SIZE[1] - _TOP - _BOTTOM

    def place(step: float, value: float) -> tuple[float, float]:
        return _LEFT + width * step / last_step, _TOP + height * (1 - value)

    for percent in range(0, 101, 20):
        start = place(0, percent / 100)
        canvas.line((start, place(last_step, percent / 100)), fill=_GRID)
        canvas.text((10, start[1] - 8), f"{percent} %", fill=_INK, font=font)
    for n in range(5):
        step = last_step * n // 4
        canvas.text((place(step, 0)[0] - 16, _SIZE[1] - 40), str(step), fill=_INK, font=font)
    for n, (curve, rows) in enumerate(points.items()):
        canvas.line([place(*row) for row in rows], fill=curve.colour, width=2)
        canvas.text((_LEFT + 290 * n, 12), curve.label, fill=curve.colour, font=font)
    canvas.text((_LEFT + width / 2 - 20, _SIZE[1] - 20), "steps", fill=_INK, font=font)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curve", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    draw(args.curve).save(args.picture, optimize=True)


if __name__ == "__main__":
    main()
