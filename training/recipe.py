"""What makes the model what it is: stages of training, and the batch of each step.

A batch is a pure function of the recipe, the seed and its index.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from cortex.engine.models.qwen3_5_vision import VisionTower
from training.batches import (
    ReadingBatch,
    TowerBatch,
    reading_batches,
    seen_through,
    tower_batch,
)
from training.document_questions import KINDS, Asker
from training.drawing import draw_document, draw_page, training_book
from training.drawing.book import Book
from training.drawing.types import Picture, Sample
from training.nano import CELL_PIXELS, MAX_PIXELS
from training.questions import sample, transcript_sample
from training.turns import in_turns

StageName = Literal["head", "tower", "reading", "whole"]


@dataclass(frozen=True, slots=True)
class Stage:
    """`samples` are pages or conversations in a step; the rate falls over the last `decay_share`.

    `transcripts` is the share of questions that want everything read out, `documents` the share of
    pages and conversations that are about documents, of at most `max_cells` each. Where there are
    any, `turns` is the share of pictures, documents or not, that are asked about more than once.
    A tower that does not learn is held still while the rest does.
    """

    name: StageName
    steps: int
    samples: int
    peak_lr: float
    decay_share: float
    transcripts: float = 0.0
    documents: float = 0.0
    turns: float = 0.15
    max_cells: int = MAX_PIXELS // CELL_PIXELS**2
    tower_learns: bool = True

    @property
    def max_pixels(self) -> int:
        return self.max_cells * CELL_PIXELS**2

    def lr(self, step: int) -> float:
        """Warm-up, plateau, linear fall to a fiftieth."""
        fall = (self.steps - step) / max(1.0, self.steps * self.decay_share)
        return self.peak_lr * min(1.0, (step + 1) / _WARMUP_STEPS, max(0.02, fall))


_WARMUP_STEPS = 50


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes the model what it is: a changed number belongs in the model card."""

    seed: int
    stages: tuple[Stage, ...]
    rows_per_batch: int = 12
    # The curriculum of the reading stage reaches its full breadth after this share of its steps.
    curriculum_share: float = 0.3
    cell_loss_weight: float = 1.0
    pointing_loss_weight: float = 0.15

    def as_text(self) -> str:
        return json.dumps(asdict(self))

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    @property
    def max_pixels(self) -> int:
        """The largest picture that any stage has shown."""
        return max(stage.max_pixels for stage in self.stages)

    def at(self, step: int) -> tuple[Stage, int]:
        """The stage of a step, and the step within it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError("the recipe has ended")

    def level(self, stage: Stage, step_in_stage: int) -> float:
        if stage.name == "whole":
            return 1.0
        return min(1.0, step_in_stage / max(1.0, stage.steps * self.curriculum_share))


def page_batch(rng: random.Random, book: Book, stage: Stage) -> TowerBatch:
    """Pages as a tower is shown them in this stage."""
    pages = [_page(rng, book, stage) for _ in range(stage.samples)]
    return tower_batch(pages, stage.max_pixels)


def _page(rng: random.Random, book: Book, stage: Stage) -> Picture:
    if stage.documents and rng.random() < stage.documents:
        return draw_document(rng, book, rng.choice(KINDS), stage.max_cells)
    return draw_page(rng, book)


class MakeBatch:
    """The batch of an index: pages for the tower, questions after. Lives in a worker process.

    A `tower` looks at the pictures of conversations while it is held still.
    """

    def __init__(self, recipe: Recipe, tower: VisionTower | None = None) -> None:
        self._recipe, self._tower = recipe, tower
        self._book: Any = None

    def __call__(self, rng: random.Random, index: int) -> TowerBatch | list[ReadingBatch]:
        torch.set_num_threads(1)
        self._book = self._book or training_book()
        # A worker draws a few batches ahead: past the end it repeats the last stage.
        stage, step = self._recipe.at(min(index, self._recipe.steps - 1))
        if stage.name in ("head", "tower"):
            return page_batch(rng, self._book, stage)
        level = self._recipe.level(stage, step)
        samples = [self._sample(rng, stage, level) for _ in range(stage.samples)]
        batches = reading_batches(samples, self._recipe.rows_per_batch, stage.max_pixels)
        if self._tower and not stage.tower_learns:
            return [seen_through(self._tower, batch) for batch in batches]
        return batches

    def _sample(self, rng: random.Random, stage: Stage, level: float) -> Sample:
        # No roll where there are no documents: older recipes draw their pictures in the same order.
        if stage.documents and rng.random() < stage.documents:
            asker = Asker(rng, self._book, stage.max_cells, turns=stage.turns)
            return asker.sample(rng.choice(KINDS))
        is_transcript = rng.random() < stage.transcripts
        asked = (transcript_sample if is_transcript else sample)(rng, self._book, level)
        if stage.documents and rng.random() < stage.turns:
            return in_turns(rng, self._book, asked)
        return asked
