"""A tower that sees alike but speaks otherwise is made to speak as the old one did."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from itertools import islice

import torch

from cortex.engine.models.qwen3_5_vision import VisionTower
from training.batches import TowerBatch, tower_batch
from training.bridge import batches, fit
from training.drawing import draw_page, training_book
from training.state import new_trainee

torch.set_num_threads(1)


def tower(seed: int) -> VisionTower:
    visual = new_trainee(seed).model.visual
    assert visual is not None
    return visual


def pages(count: int) -> Iterator[TowerBatch]:
    rng, book = random.Random(3), training_book()
    return (tower_batch([draw_page(rng, book)]) for _ in range(count))


def test_a_tower_with_another_projection_is_understood_again() -> None:
    old = tower(1)
    other = copy.deepcopy(old)
    torch.nn.init.normal_(other.merger.linear_fc2.weight)

    fitted = fit(old, other, pages(20))

    assert fitted.unexplained < 0.2 < 0.9 < fitted.unexplained_before
    other.merger.linear_fc2 = fitted.projection
    (page,) = pages(1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        said, wanted = (each(page.patches, page.grids).float() for each in (other, old))
    assert (said - wanted).square().mean() < 0.2 * wanted.var(0).mean()


def test_what_the_other_tower_does_not_see_stays_unexplained() -> None:
    old = tower(1)
    blind = copy.deepcopy(old)
    torch.nn.init.zeros_(blind.merger.linear_fc1.weight)

    assert fit(old, blind, pages(10)).unexplained > 0.9


def test_the_pages_are_the_same_each_time() -> None:
    one, again = (next(islice(batches(), 1)) for _ in range(2))
    assert torch.equal(one.patches, again.patches) and one.grids == again.grids
