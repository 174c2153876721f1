"""Batches are functions of their index, and a step of every stage teaches something."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from training.batches import IGNORED, ReadingBatch, TowerBatch, reading_batches, see
from training.cells import CHARACTERS, NUM_CLASSES, NUM_SLOTS, cell_loss, cell_targets
from training.curve import log, trim_curve
from training.document_questions import Asker
from training.drawing import draw_line, training_book
from training.drawing.types import Glyph
from training.nano import token_id
from training.plot import draw
from training.pointing import Watch
from training.questions import sample
from training.recipe import MakeBatch, Recipe, Stage
from training.state import (
    Progress,
    Trainee,
    load_state,
    new_optimisers,
    new_trainee,
    save_state,
)
from training.train import train_step

torch.set_num_threads(1)
RECIPE = Recipe(
    seed=1,
    stages=(
        Stage("tower", 4, samples=2, peak_lr=1e-3, decay_share=0.5),
        Stage("reading", 4, 3, peak_lr=1e-3, decay_share=0.5, tower_learns=False),
        Stage("whole", 4, samples=3, peak_lr=1e-3, decay_share=0.5),
        Stage("head", 4, 2, peak_lr=1e-3, decay_share=0.5, tower_learns=False),
    ),
)


def test_characters_fill_the_slots_of_the_half_cell_they_lie_in() -> None:
    glyphs = [Glyph("b", 20, 8), Glyph("a", 4, 8), Glyph("c", 10, 24), Glyph("d", 40, 8)]

    targets = cell_targets(glyphs, rows=1, columns=2, scale_x=1.0, scale_y=1.0)

    named = [
        ["".join(CHARACTERS[i - 1] for i in half if i) for half in (c[0, :5], c[0, 5:])]
        for c in targets
    ]
    assert named == [["ab", "c"], ["d", ""]]
    assert targets.shape == (2, 5, NUM_SLOTS)


def test_a_character_at_an_edge_may_be_read_on_either_side_of_it() -> None:
    glyphs = [Glyph("a", 31.5, 8), Glyph("b", 40, 8)]
    targets = torch.from_numpy(cell_targets(glyphs, rows=1, columns=2, scale_x=1.0, scale_y=1.0))
    a, b = CHARACTERS.index("a") + 1, CHARACTERS.index("b") + 1
    assert targets[:, :, 0].tolist() == [[a, a, 0, a, a], [b, b, a, b, b]]

    def loss(first: list[int], second: list[int]) -> float:
        """Of a reader who is nearly sure of these characters."""
        named = torch.zeros(2, NUM_SLOTS, dtype=torch.long)
        named[0, : len(first)], named[1, : len(second)] = torch.tensor(first), torch.tensor(second)
        return cell_loss(10.0 * functional.one_hot(named, NUM_CLASSES), targets).item()

    as_drawn, moved, wrong = loss([a], [b]), loss([], [a, b]), loss([a], [a])
    assert as_drawn < moved < wrong / 2


def test_positions_follow_a_resized_picture() -> None:
    targets = cell_targets([Glyph("x", 100, 100)], 2, 2, scale_x=0.5, scale_y=0.5)

    assert targets[3].any() and not targets[:3].any()


def test_a_picture_is_seen_as_the_engine_will_see_it() -> None:
    picture = draw_line(random.Random(1), training_book(), 12)
    seen = see(picture)

    assert seen.patches.shape == (seen.grid[1] * seen.grid[2], 1536)
    assert len(seen.targets) * 4 == len(seen.patches)
    shown = sorted(CHARACTERS[int(i) - 1] for i in seen.targets[:, 0].flatten() if i)
    assert shown == sorted(g.char for g in picture.glyphs)


def test_only_the_answer_and_its_end_are_labels() -> None:
    rng, book = random.Random(5), training_book()
    samples = [sample(rng, book, 1.0) for _ in range(6)]

    batches = reading_batches(samples, rows_per_batch=4)

    answers = sorted((*s.answer.encode(), 258) for s in samples)
    labels = [tuple(int(i) for i in row[row != IGNORED]) for b in batches for row in b.labels]
    assert sorted(labels) == answers


@pytest.mark.parametrize("index", [0, 5, 9])
def test_a_batch_depends_on_its_index_alone(index: int) -> None:
    first = MakeBatch(RECIPE)(random.Random(f"1:{index}"), index)
    MakeBatch(RECIPE)(random.Random("1:99"), 1)
    again = MakeBatch(RECIPE)(random.Random(f"1:{index}"), index)

    assert _tensors(first) and all(
        torch.equal(a, b) for a, b in zip(_tensors(first), _tensors(again), strict=True)
    )


def test_stages_follow_each_other_and_rates_rise_and_fall() -> None:
    assert [RECIPE.at(n)[0].name for n in (0, 3, 4, 8, 11)] == [
        "tower", "tower", "reading", "whole", "whole",
    ]  # fmt: skip
    stage = Stage("tower", 1000, 1, 1e-3, 0.25)
    assert stage.lr(0) < stage.lr(49) == stage.lr(700) == 1e-3
    assert stage.lr(999) < stage.lr(900) < 1e-3


def test_every_stage_learns_what_it_says_and_training_resumes(tmp_path: Path) -> None:
    trainee = new_trainee(1)
    optimisers = new_optimisers(trainee)
    watch = watched(trainee)
    tower = [p for n, p in trainee.named_parameters() if ".blocks." in n]
    reader = [p for n, p in trainee.named_parameters() if ".layers." in n]
    head = list(trainee.cell_reader.parameters())
    groups = (tower, reader, head)
    changed: dict[int, tuple[bool, ...]] = {}
    for step in (1, 5, 9, 13):
        before = [[p.detach().clone() for p in group] for group in groups]
        batch = MakeBatch(RECIPE)(random.Random(step), step)
        metrics = train_step(RECIPE, trainee, watch, optimisers, batch, step)
        assert metrics["cell_loss"] > 0
        changed[step] = tuple(
            any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
            for old, new in zip(before, groups, strict=True)
        )
    assert changed == {
        1: (True, False, True),
        5: (False, True, True),
        9: (True, True, True),
        13: (False, False, True),
    }

    progress = Progress(10, 3.5, RECIPE.as_text())
    save_state(tmp_path / "state.pt", optimisers, progress)
    others = new_optimisers(new_trainee(2))
    assert load_state(tmp_path / "state.pt", others) == progress
    assert are_same(optimisers.trainee, others.trainee)
    assert are_same(optimisers.mean, others.mean)
    assert not are_same(others.trainee, others.mean)


def watched(trainee: Trainee) -> Watch:
    return Watch(trainee.model.language_model)


def are_same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_mean_of_the_weights_follows_them_slowly() -> None:
    optimisers = new_optimisers(new_trainee(1))
    (weight, *_), (mean, *_) = optimisers.trainee.parameters(), optimisers.mean.parameters()
    began = weight.detach().clone()
    optimisers.step(0.0)
    weight.data += 1.0
    optimisers.step(0.0)

    torch.testing.assert_close(mean, began + 0.002)


def test_pictures_that_a_still_tower_has_seen_already_teach_the_same() -> None:
    trainee = new_trainee(1)
    unseen, seen = (
        MakeBatch(RECIPE, tower)(random.Random("1:5"), 5) for tower in (None, trainee.model.visual)
    )
    assert isinstance(unseen, list) and isinstance(seen, list)
    assert not any(isinstance(batch.pictures, TowerBatch) for batch in seen)

    one, other = [
        train_step(RECIPE, twin, watched(twin), new_optimisers(twin), batches, 5)
        for twin, batches in ((trainee, unseen), (new_trainee(1), seen))
    ]
    for name in ("loss", "cell_loss"):
        assert one[name] == pytest.approx(other[name], rel=1e-3)


def test_of_a_still_tower_the_last_projection_learns_alone() -> None:
    trainee = new_trainee(1)
    tower = trainee.model.visual
    assert tower is not None
    before = {name: value.clone() for name, value in tower.state_dict().items()}

    batches = MakeBatch(RECIPE)(random.Random("1:5"), 5)
    train_step(RECIPE, trainee, watched(trainee), new_optimisers(trainee), batches, 5)

    changed = {
        name for name, value in tower.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"merger.linear_fc2.weight", "merger.linear_fc2.bias"}


def test_a_tower_that_learns_sees_the_pictures_itself() -> None:
    batches = MakeBatch(RECIPE, new_trainee(1).model.visual)(random.Random("1:9"), 9)

    assert isinstance(batches, list)
    assert any(isinstance(batch.pictures, TowerBatch) for batch in batches)


def test_a_step_of_documents_teaches_with_two_pictures_and_several_turns() -> None:
    stage = Stage("whole", 1, 2, peak_lr=1e-3, decay_share=0.5, documents=1.0, max_cells=200)
    recipe = Recipe(seed=3, stages=(stage,))
    trainee = new_trainee(3)
    asker = Asker(random.Random(5), training_book(), stage.max_cells)
    talk = asker.in_turns(asker.sample("form").pictures[0])

    batch = reading_batches([asker.about_two("label"), talk], 2, stage.max_pixels)
    metrics = train_step(recipe, trainee, watched(trainee), new_optimisers(trainee), batch, 0)

    assert metrics["loss"] > 0 and metrics["cell_loss"] > 0
    (part,) = batch
    assert isinstance(part.pictures, TowerBatch) and len(part.pictures.grids) == 3
    assert (part.labels == token_id("<|im_end|>")).sum() == 2 + len(talk.earlier)


def test_a_recipe_says_how_much_of_the_drawing_are_documents_and_how_large() -> None:
    stage = Stage("tower", 1, 12, peak_lr=1e-3, decay_share=0.5, documents=1.0, max_cells=300)
    batch = MakeBatch(Recipe(seed=3, stages=(stage,)))(random.Random(6), 0)

    assert isinstance(batch, TowerBatch)
    cells = [height * width // 4 for _, height, width in batch.grids]
    assert 128 < max(cells) <= 300
    assert len(set(cells)) > 5


def test_the_curve_is_cut_where_training_resumes_and_can_be_drawn(tmp_path: Path) -> None:
    curve = tmp_path / "curve.csv"
    for step in (20, 40, 60):
        log(curve, step, 1.0, {"lr": 1e-3, "cell_accuracy": step / 100, "token_accuracy": 0.5,
                               "answer_accuracy": 0.1})  # fmt: skip
    trim_curve(curve, 40)

    with curve.open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["20", "40"]
    assert draw(curve).size == (960, 420)


def _tensors(batch: TowerBatch | list[ReadingBatch]) -> list[torch.Tensor]:
    if isinstance(batch, TowerBatch):
        return [batch.patches, batch.targets]
    return [t for b in batch for t in (b.token_ids, b.labels, b.positions)]
