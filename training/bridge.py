"""Another tower for a language model that goes on reading: `python -m training.bridge`.

A tower that learns by itself changes what it says along with how well it sees, and a language model
trained on what it said before cannot read it. But what it said before can be told from what it sees
now: the last projection is fitted by ridge regression to what the model's own tower says of the
same pages. Training goes on with `--start-from`, the tower held still but for that projection.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from cortex.engine.models.qwen3_5_vision import VisionTower
from training.batches import TowerBatch
from training.drawing import training_book
from training.recipe import Stage, page_batch
from training.state import export_weights, import_tower, import_weights, new_trainee

_SEED = 99
# Documents of every kind and dense pages, four at a time.
_PAGES = Stage("tower", 150, 4, peak_lr=0.0, decay_share=1.0, documents=0.75, max_cells=300)
# Of the mean square of what the projection takes: up to 0.1 it does as well.
_RIDGE = 1e-4
_HELD_OUT_EVERY = 10


@dataclass(frozen=True, slots=True)
class Fit:
    """A projection, and which share of the variance on pages it was not fitted on it leaves
    unexplained; `unexplained_before` is that of the tower's own projection."""

    projection: nn.Linear
    unexplained: float
    unexplained_before: float


@torch.no_grad()
def fit(old: VisionTower, new: VisionTower, pages: Iterator[TowerBatch]) -> Fit:
    """The last projection with which `new` says what `old` says."""
    own = new.merger.linear_fc2
    size = own.in_features + 1
    squares = torch.zeros(size, size, dtype=torch.float64)
    products = torch.zeros(size, own.out_features, dtype=torch.float64)
    held_out: list[tuple[torch.Tensor, torch.Tensor]] = []
    for number, batch in enumerate(pages, 1):
        with torch.autocast("cpu", torch.bfloat16):
            seen, said = (new.look(batch.patches, batch.grids), old(batch.patches, batch.grids))
        seen, said = nn.functional.pad(seen.float(), (0, 1), value=1.0), said.float()
        if number % _HELD_OUT_EVERY == 0:
            held_out.append((seen, said))
        else:
            squares += seen.T @ seen
            products += seen.T @ said
    ridge = _RIDGE * squares.diagonal().mean() * torch.eye(size)
    fitted = cast("torch.Tensor", torch.linalg.solve(squares + ridge, products)).float()
    projection = nn.Linear(own.in_features, own.out_features)
    projection.weight.copy_(fitted[:-1].T)
    projection.bias.copy_(fitted[-1])
    seen, said = (torch.cat(each) for each in zip(*held_out, strict=True))
    variance = (said - said.mean(0)).square().sum()
    unexplained, before = (
        ((linear(seen[:, :-1]) - said).square().sum() / variance).item()
        for linear in (projection, own)
    )
    return Fit(projection, unexplained, before)


def batches() -> Iterator[TowerBatch]:
    """The same each time."""
    rng, book = random.Random(_SEED), training_book()
    return (page_batch(rng, book, _PAGES) for _ in range(_PAGES.steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="the language model, and what it reads now")
    parser.add_argument("tower", type=Path, help="the other tower, as --export-tower wrote it")
    parser.add_argument("out", type=Path, help="the folder to write")
    args = parser.parse_args()
    torch.set_num_threads(2)
    before, after = new_trainee(_SEED), new_trainee(_SEED)
    for trainee in (before, after):
        import_weights(trainee.model, args.weights)
    import_tower(after, args.tower)
    old, new = before.model.visual, after.model.visual
    assert old is not None and new is not None
    fitted = fit(old, new, batches())
    new.merger.linear_fc2 = fitted.projection
    export_weights(after.model, args.out)
    print(
        f"unexplained of what the tower said before: {100 * fitted.unexplained:.1f} %, "
        f"with its own projection {100 * fitted.unexplained_before:.1f} %; weights in {args.out}"
    )


if __name__ == "__main__":
    main()
