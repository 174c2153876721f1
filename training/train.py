"""Train cortex-nano: `python -m training.train --state runs/nano`. One command, resumable, seeded.

The tower alone learns to name the characters of each cell on dense pages (on weights that have
learnt before, a new head first learns to name what they see); then the language model learns to
read them out and to answer, the tower held still but for its last projection; then both together.
The tower's own task is kept on throughout. The curve goes to curve.csv beside the state.
"""

from __future__ import annotations

import argparse
import math
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from training.batches import (
    IGNORED,
    BatchStream,
    LookedAt,
    ReadingBatch,
    TowerBatch,
    seen_through,
    to_device,
)
from training.cells import cell_accuracy, cell_loss
from training.curve import log, trim_curve
from training.nano import token_id
from training.pointing import Watch, pointing_loss
from training.recipe import MakeBatch, Recipe, Stage
from training.state import (
    Optimisers,
    Progress,
    Trainee,
    export_tower,
    export_weights,
    import_weights,
    load_state,
    new_optimisers,
    new_trainee,
    save_state,
)


def tower_loss(
    trainee: Trainee, batch: TowerBatch | LookedAt, *, with_tower: bool
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Cell rows [cells, hidden], the loss of naming their characters, and the accuracy.

    Without the tower only the head that names them learns. Of a tower that has looked at the
    pictures already it is the last projection.
    """
    with torch.set_grad_enabled(with_tower):
        if isinstance(batch, LookedAt):
            tower = trainee.model.visual
            assert tower is not None
            cells = tower.merger.linear_fc2(batch.cells)
        else:
            cells = trainee.model.encode_images(batch.patches, batch.grids)
    logits = trainee.cell_reader(cells)
    return cells, cell_loss(logits, batch.targets), cell_accuracy(logits, batch.targets)


def reading_loss(
    trainee: Trainee,
    batch: ReadingBatch,
    watch: Watch,
    *,
    cell_weight: float,
    pointing_weight: float,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Cross-entropy of the answers plus the shares of pointing and of the tower; what to log."""
    model = trainee.model
    embeddings = model.embed(batch.token_ids)
    metrics: dict[str, float] = {}
    extra = embeddings.new_zeros(())
    if batch.pictures is not None:
        cells, extra, metrics["cell_accuracy"] = tower_loss(
            trainee, batch.pictures, with_tower=True
        )
        metrics["cell_loss"] = extra.item()
        pads = (batch.token_ids == token_id("<|image_pad|>"))[..., None]
        embeddings = embeddings.masked_scatter(pads, cells.to(embeddings.dtype))
    hidden = model(embeddings, batch.positions)
    answered = batch.labels != IGNORED
    logits = model.logits(hidden[answered])
    labels = batch.labels[answered]
    loss = functional.cross_entropy(logits, labels)
    right = logits.argmax(-1) == labels
    wrong_in_row = torch.zeros(len(batch.labels), device=labels.device).index_add_(
        0, answered.nonzero()[:, 0], (~right).float()
    )
    metrics["token_accuracy"] = right.float().mean().item()
    metrics["answer_accuracy"] = (wrong_in_row == 0).float().mean().item()
    metrics["loss"] = loss.item()
    pointing, shares = pointing_loss(watch, batch.pointed)
    metrics |= shares
    if pointing is not None:
        loss = loss + pointing * pointing_weight
    return loss + extra * cell_weight, metrics


def train(recipe: Recipe, args: argparse.Namespace) -> None:
    device = torch.device(args.device)
    trainee = new_trainee(recipe.seed)
    if args.start_from:
        import_weights(trainee.model, args.start_from)
    trainee.to(device)
    optimisers = new_optimisers(trainee)
    watch = Watch(trainee.model.language_model)
    state_file = args.state / "state.pt"
    step, seconds_before = resumed(recipe, args, state_file, optimisers)
    trim_curve(args.state / "curve.csv", step)
    stopping = StopOnSignal()
    started_s = saved_s = time.monotonic()

    def save() -> None:
        seconds = seconds_before + time.monotonic() - started_s
        progress = Progress(step, seconds, recipe.as_text())
        save_state(state_file, optimisers, progress)

    for batch in drawn_batches(recipe, args, trainee, step):
        elapsed_s = time.monotonic() - started_s
        if elapsed_s > args.minutes * 60 or stopping.asked:
            break
        metrics = train_step(recipe, trainee, watch, optimisers, to_batch(batch, device), step)
        step += 1
        if step % 20 == 0:
            log(args.state / "curve.csv", step, seconds_before + elapsed_s, metrics)
        if time.monotonic() - saved_s > 240:
            save()
            saved_s = time.monotonic()
    save()
    averaged = cast("Trainee", optimisers.mean.module)
    if args.export:
        export_weights(averaged.model, args.export, recipe.max_pixels)
    if args.export_tower:
        export_tower(averaged, args.export_tower)
    print(f"stopped at step {step} of {recipe.steps}; state in {state_file}")


def drawn_batches(
    recipe: Recipe, args: argparse.Namespace, trainee: Trainee, step: int
) -> Iterator[Any]:
    """The batches from this step on, drawn by other processes, which begin anew with each stage.

    On a CPU it is they who look through the tower while it is held still.
    """
    while step < recipe.steps:
        stage, step_in_stage = recipe.at(step)
        make = MakeBatch(recipe, trainee.model.visual if args.device == "cpu" else None)
        loader = DataLoader(
            BatchStream(make, recipe.seed, step), batch_size=None, num_workers=args.workers,
            prefetch_factor=4 if args.workers else None,
        )  # fmt: skip
        yield from islice(loader, stage.steps - step_in_stage)
        step += stage.steps - step_in_stage


def resumed(
    recipe: Recipe, args: argparse.Namespace, state_file: Path, optimisers: Optimisers
) -> tuple[int, float]:
    """The step to go on from and the seconds spent so far, from the state or from nothing."""
    if not state_file.exists():
        return args.first_step, 0.0
    progress = load_state(state_file, optimisers)
    if progress.recipe != recipe.as_text() and not args.new_recipe:
        raise SystemExit(
            f"error: {state_file} was made by another recipe:\n{progress.recipe}\n"
            f"now asked for:\n{recipe.as_text()}\n"
            "hint: give its numbers again, go on with --new-recipe, or choose another --state."
        )
    return progress.step, progress.seconds


class StopOnSignal:
    """The first ctrl-c or SIGTERM lets the step end and the state be saved."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        signal.signal(number, signal.SIG_DFL)


def to_batch(batch: Any, device: torch.device) -> TowerBatch | list[ReadingBatch]:
    if isinstance(batch, list):
        return [to_device(b, device) for b in cast("list[Any]", batch)]
    return to_device(batch, device)


def train_step(
    recipe: Recipe,
    trainee: Trainee,
    watch: Watch,
    optimisers: Optimisers,
    batch: TowerBatch | list[ReadingBatch],
    step: int,
) -> dict[str, float]:
    """One optimiser step on one batch; its metrics."""
    tower = trainee.model.visual
    assert tower is not None
    device_type = next(trainee.parameters()).device.type
    stage, step_in_stage = recipe.at(step)
    metrics: dict[str, float] = {}
    told: defaultdict[str, list[float]] = defaultdict(list)
    if isinstance(batch, TowerBatch):
        with torch.autocast(device_type, torch.bfloat16):
            _, loss, accuracy = tower_loss(trainee, batch, with_tower=stage.tower_learns)
        loss.backward()
        metrics = {"cell_loss": loss.item(), "cell_accuracy": accuracy}
    else:
        for part in batch:
            with torch.autocast(device_type, torch.bfloat16):
                loss, part_metrics = reading_loss(
                    trainee,
                    part if stage.tower_learns else seen_through(tower, part),
                    watch,
                    cell_weight=recipe.cell_loss_weight,
                    pointing_weight=recipe.pointing_loss_weight,
                )
            (loss / len(batch)).backward()
            for name, value in part_metrics.items():
                told[name].append(value)
        metrics = {name: fmean(values) for name, values in told.items()}
    lr = stage.lr(step_in_stage)
    torch.nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
    optimisers.step(lr)
    return {"lr": lr, **metrics}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("runs/nano"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many minutes")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the trainer")
    parser.add_argument("--export", type=Path, help="write the weights there when stopping")
    parser.add_argument("--export-tower", type=Path, help="write the tower and its head there too")
    parser.add_argument("--start-from", type=Path, help="weights, where --state holds none")
    parser.add_argument("--first-step", type=int, default=0, help="where to start without a state")
    parser.add_argument(
        "--new-recipe", action="store_true", help="go on from a state that another recipe made"
    )
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument(
        "--head-steps", type=int, default=0, help="for a new head on weights that have been trained"
    )
    parser.add_argument("--tower-steps", type=int, default=2900)
    parser.add_argument("--reading-steps", type=int, default=1151)
    parser.add_argument("--whole-steps", type=int, default=540)
    parser.add_argument(
        "--whole-rate", type=float, default=1.5e-3, help="of learning, at its height"
    )
    parser.add_argument("--samples", type=int, default=36, help="conversations in a step")
    parser.add_argument(
        "--rows", type=int, default=12, help="of them at once: few pad little, many fill a GPU"
    )
    parser.add_argument(
        "--decay-share", type=float, default=0.8, help="of the last stage, in which the rate falls"
    )
    parser.add_argument(
        "--hold-tower",
        action="store_true",
        help="but for its last projection, in the last stage too: it costs half as much",
    )
    parser.add_argument("--documents", type=float, default=0.0, help="their share of the drawing")
    parser.add_argument(
        "--turns", type=float, default=0.15, help="share of pictures asked about more than once"
    )
    parser.add_argument("--max-cells", type=int, default=128, help="of a picture in the last stage")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.state.mkdir(parents=True, exist_ok=True)
    stages = (
        Stage("head", args.head_steps, 32, 4e-3, decay_share=0.2, tower_learns=False),
        Stage("tower", args.tower_steps, 32, 2e-3, decay_share=0.5),
        Stage("reading", args.reading_steps, args.samples, 2e-3, decay_share=0.01,
              transcripts=0.6, tower_learns=False),
        Stage("whole", args.whole_steps, args.samples, args.whole_rate, args.decay_share,
              transcripts=0.45, tower_learns=not args.hold_tower),
    )  # fmt: skip
    # Small documents first: the bound on their cells grows from stage to stage.
    bounds = (128, 128, math.isqrt(128 * args.max_cells), args.max_cells)
    stages = tuple(
        replace(stage, documents=args.documents, turns=args.turns, max_cells=max_cells)
        for stage, max_cells in zip(stages, bounds, strict=True)
    )
    train(Recipe(args.seed, stages, args.rows), args)


if __name__ == "__main__":
    main()
