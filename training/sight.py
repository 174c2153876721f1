"""How well a tower sees: the characters that it gets wrong, before any language model reads them.

`python -m training.sight FILE` takes what `--export-tower` wrote, draws the same pages each time,
in the fonts of training and in those of the evaluation, and has the tower's own head name what
stands in each half row of cells. Where a line's middle touches the edge of a half row it belongs to
either one as if by chance: such half rows are left out.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from training.batches import Grid, tower_batch
from training.cells import SLOTS_PER_HALF
from training.document_questions import KINDS
from training.drawing import draw_document, draw_page, evaluation_book, training_book
from training.drawing.book import Book
from training.drawing.types import Picture
from training.nano import CELL_PIXELS, MERGE
from training.state import Trainee, import_tower, new_trainee

_SEED = 56
_MAX_CELLS = 128


@dataclass(frozen=True, slots=True)
class Sight:
    """`num_wrong` is the edit distance from what is printed to what was named."""

    num_printed: int
    num_wrong: int


def half_rows(slots: torch.Tensor, grid: Grid) -> torch.Tensor:
    """[cells, ..., NUM_SLOTS] to [half rows, columns, ..., slots], from top to bottom."""
    rows, columns = grid[1] // MERGE, grid[2] // MERGE
    halves = slots.view(rows, columns, *slots.shape[1:-1], 2, SLOTS_PER_HALF).movedim(-2, 1)
    return halves.flatten(0, 1)


def edit_distance(printed: Sequence[int], named: Sequence[int]) -> int:
    """Insertions, deletions and replacements (Levenshtein, 1966)."""
    distances = list(range(len(named) + 1))
    for i, char in enumerate(printed, 1):
        diagonal, distances[0] = distances[0], i
        for j, other in enumerate(named, 1):
            replaced = diagonal + (char != other)
            diagonal = distances[j]
            distances[j] = min(diagonal + 1, distances[j - 1] + 1, replaced)
    return distances[-1]


def sight_of(trainee: Trainee, picture: Picture) -> Sight:
    batch = tower_batch([picture], _MAX_CELLS * CELL_PIXELS**2)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        cells = trainee.model.encode_images(batch.patches, batch.grids)
        named = half_rows(trainee.cell_reader(cells).argmax(-1), batch.grids[0])
    readings = half_rows(batch.targets, batch.grids[0])
    num_printed = num_wrong = 0
    for reading, row in zip(readings, named, strict=True):
        as_drawn, higher, lower = reading[:, 0], reading[:, -2], reading[:, -1]
        if not torch.equal(as_drawn, higher) or not torch.equal(as_drawn, lower):
            continue
        printed = _characters(as_drawn)
        if printed:
            num_printed += len(printed)
            num_wrong += edit_distance(printed, _characters(row))
    return Sight(num_printed, num_wrong)


def _characters(slots: torch.Tensor) -> list[int]:
    return cast("list[int]", slots[slots > 0].tolist())


def pages(book: Book) -> Iterator[Picture]:
    """Dense pages, and small documents of every kind."""
    rng = random.Random(_SEED)
    for _ in range(60):
        yield draw_page(rng, book)
    for kind in KINDS:
        for _ in range(6):
            yield draw_document(rng, book, kind, _MAX_CELLS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tower", type=Path, help="what --export-tower wrote")
    args = parser.parse_args()
    torch.set_num_threads(2)
    trainee = new_trainee(_SEED)
    import_tower(trainee, args.tower)
    for name, book in (("training", training_book()), ("evaluation", evaluation_book())):
        seen = [sight_of(trainee, picture) for picture in pages(book)]
        printed, wrong = sum(s.num_printed for s in seen), sum(s.num_wrong for s in seen)
        print(f"fonts of the {name}: {100 * wrong / printed:.2f} % wrong of {printed} characters")


if __name__ == "__main__":
    main()
