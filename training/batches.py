"""Samples to tensors: patches and cell targets for the tower, token ids for the language model.

A batch is a pure function of (recipe, seed, index), so that training resumes exactly. Pictures go
through the engine's own preprocessing; the prompt is the template's own text.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import IterableDataset

from cortex.engine.images import smart_resize
from cortex.engine.models.qwen3_5_vision import VisionTower
from cortex.engine.patches import pixels_to_patches
from cortex.engine.positions import rope_positions
from training.cells import cell_targets
from training.drawing.types import Picture, Sample
from training.nano import (
    CELL_PIXELS,
    MAX_PIXELS,
    MERGE,
    MIN_PIXELS,
    PATCH_PIXELS,
    TEMPORAL,
    encode,
    next_prompt_text,
    prompt_text,
    token_id,
)
from training.places import Point, Print, answer_points, key_points, question_points
from training.pointing import Pointed, Points, gathered

Grid = tuple[int, int, int]
IGNORED = -100
_IMAGE_PAD = token_id("<|image_pad|>")
_AFTER_QUESTION = prompt_text("\0").partition("\0")[2]


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture as the tower takes it: bf16 [patches, values], its grid, and what its cells show:
    int64 [cells, readings, slots]."""

    patches: torch.Tensor
    grid: Grid
    targets: torch.Tensor


@dataclass(frozen=True, slots=True)
class TowerBatch:
    patches: torch.Tensor
    grids: list[Grid]
    targets: torch.Tensor


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Pictures as a tower that is held still has seen them: what its last projection takes of each
    cell, bf16 [cells, values], and what the cells show."""

    cells: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Rows of one length class, padded on the right.

    token_ids, labels [batch, tokens] (labels are IGNORED but on the answer and its end);
    positions [3, batch, tokens]. `pictures` is None where no row has one.
    """

    pictures: TowerBatch | LookedAt | None
    token_ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    pointed: Pointed


def see(picture: Picture, max_pixels: int = MAX_PIXELS) -> Seen:
    """Resize as the engine does, cut into patches, and say what each cell shows."""
    width, height = picture.image.size
    to_height, to_width = smart_resize(height, width, CELL_PIXELS, MIN_PIXELS, max_pixels)
    image = picture.image
    if (to_width, to_height) != (width, height):
        image = image.resize((to_width, to_height), Image.Resampling.BICUBIC)
    rgb = torch.from_numpy(np.array(image, dtype=np.uint8))
    patches = pixels_to_patches(rgb, PATCH_PIXELS, MERGE, TEMPORAL).to(torch.bfloat16)
    rows, columns = to_height // CELL_PIXELS, to_width // CELL_PIXELS
    targets = cell_targets(picture.glyphs, rows, columns, to_width / width, to_height / height)
    grid = (1, to_height // PATCH_PIXELS, to_width // PATCH_PIXELS)
    return Seen(patches, grid, torch.from_numpy(targets))


def tower_batch(pictures: Sequence[Picture], max_pixels: int = MAX_PIXELS) -> TowerBatch:
    return _join([see(p, max_pixels) for p in pictures])


def _join(seen: Sequence[Seen]) -> TowerBatch:
    return TowerBatch(
        torch.cat([s.patches for s in seen]),
        [s.grid for s in seen],
        torch.cat([s.targets for s in seen]),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A conversation as tokens. `labels` are its answers and their ends, IGNORED elsewhere."""

    ids: list[int]
    labels: list[int]
    seen: tuple[Seen, ...]
    answers: list[Point]
    questions: list[Point]
    beside: list[Point]
    above: list[Point]


def reading_batches(
    samples: Sequence[Sample], rows_per_batch: int, max_pixels: int = MAX_PIXELS
) -> list[ReadingBatch]:
    """Micro-batches of rows of similar length: little padding, little memory."""
    rows = sorted((_row(sample, max_pixels) for sample in samples), key=lambda row: len(row.ids))
    return [
        _reading_batch(rows[i : i + rows_per_batch]) for i in range(0, len(rows), rows_per_batch)
    ]


def _row(sample: Sample, max_pixels: int) -> _Row:
    seen = tuple(see(picture, max_pixels) for picture in sample.pictures)
    turns = (*sample.earlier, (sample.question, sample.answer))
    ids: list[int] = []
    labels: list[int] = []
    prints: list[Print] = []
    answers: list[Point] = []
    questions: list[Point] = []
    beside: list[Point] = []
    above: list[Point] = []
    for number, (question, text) in enumerate(turns):
        if number:
            prompt = encode(next_prompt_text(question))
        else:
            first = prompt_text(question, pictures=len(seen), tools=sample.tools)
            prompt = encode(first, [len(each.targets) for each in seen])
            prints = _prints(sample.pictures, seen, prompt)
            for picture, page in zip(sample.pictures, prints, strict=True):
                of_page = key_points(picture, page)
                beside += of_page[0]
                above += of_page[1]
        asked_at = len(ids) + len(prompt) - len(encode(question + _AFTER_QUESTION))
        questions += question_points(question, asked_at, sample.pictures, prints)
        answer = [*encode(text), token_id("<|im_end|>")]
        answers += answer_points(text, len(ids) + len(prompt), prints)
        ids += prompt + answer
        labels += [IGNORED] * len(prompt) + answer
    return _Row(ids, labels, seen, answers, questions, beside, above)


def _prints(
    pictures: Sequence[Picture], seen: Sequence[Seen], prompt: Sequence[int]
) -> list[Print]:
    """What each picture's cells show, by their place in the prompt."""
    prints: list[Print] = []
    first = 0
    for picture, each in zip(pictures, seen, strict=True):
        first = prompt.index(_IMAGE_PAD, first)
        _, height, width = (side * PATCH_PIXELS for side in each.grid)
        scales = width / picture.image.width, height / picture.image.height
        prints.append(Print(picture, width // CELL_PIXELS, *scales, first))
        first += len(each.targets)
    return prints


def _reading_batch(rows: Sequence[_Row]) -> ReadingBatch:
    longest = max(len(row.ids) for row in rows)
    token_ids = torch.full((len(rows), longest), token_id("<|endoftext|>"), dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    positions = torch.zeros((3, len(rows), longest), dtype=torch.long)
    for n, row in enumerate(rows):
        length = len(row.ids)
        token_ids[n, :length] = torch.tensor(row.ids)
        # The label of a position is the token after it.
        labels[n, : length - 1] = torch.tensor(row.labels[1:])
        rope = rope_positions(row.ids, [seen.grid for seen in row.seen], MERGE, _IMAGE_PAD)
        positions[:, n, :length] = torch.from_numpy(rope.between(0, length))
    pictures = [seen for row in rows for seen in row.seen]
    pointed = Pointed(
        gathered([row.answers for row in rows]),
        gathered([row.questions for row in rows]),
        gathered([row.beside for row in rows]),
        gathered([row.above for row in rows]),
    )
    shown = _join(pictures) if pictures else None
    return ReadingBatch(shown, token_ids, labels, positions, pointed)


def seen_through(tower: VisionTower, batch: ReadingBatch) -> ReadingBatch:
    """The batch with what a tower that is held still sees in its pictures in place of them."""
    pictures = batch.pictures
    if not isinstance(pictures, TowerBatch):
        return batch
    with torch.no_grad(), torch.autocast(batch.token_ids.device.type, torch.bfloat16):
        cells = tower.look(pictures.patches, pictures.grids)
    return replace(batch, pictures=LookedAt(cells, pictures.targets))


class BatchStream(IterableDataset[Any]):
    """Batches `first`, `first + 1`, ... made by worker processes from their index alone."""

    def __init__(self, make: Callable[[random.Random, int], Any], seed: int, first: int) -> None:
        self._make, self._seed, self._first = make, seed, first

    def __iter__(self) -> Iterator[Any]:
        worker = torch.utils.data.get_worker_info()
        if worker:  # ctrl-c at a terminal goes to everyone: the trainer decides when to stop
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        index, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        index += self._first
        while True:
            yield self._make(random.Random(f"{self._seed}:{index}"), index)
            index += stride


def to_device(value: Any, device: torch.device) -> Any:
    """A batch with its tensors on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, TowerBatch | LookedAt | ReadingBatch | Pointed | Points):
        moved = {f.name: to_device(getattr(value, f.name), device) for f in fields(value)}
        return type(value)(**moved)
    return value
