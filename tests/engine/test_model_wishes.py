"""What is wished of one model alone: which numbers it is computed in, how large pictures are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cortex.engine.estimating import costs_of, estimate
from cortex.engine.models.base import ServableModel
from cortex.engine.precision import Precision
from cortex.engine.preprocessor import pixel_budget, read_preprocessor
from cortex.engine.wishes import ModelWishes, PixelWishes, Wishes

CPU = torch.device("cpu")
USUAL = Wishes("fast", "float32")


def test_a_model_may_be_computed_in_other_numbers_than_all_are(golden: Path) -> None:
    own = USUAL.of(ModelWishes("bfloat16"))
    assert (own.mode, own.dtype) == ("fast", "bfloat16")
    assert USUAL.of(ModelWishes()) == USUAL
    kv = [estimate(golden / "qwen3_5", CPU, each).kv_bytes_per_token for each in (USUAL, own)]
    assert kv[0] == 2 * kv[1]


@pytest.mark.parametrize(
    ("wishes", "num_tokens"),
    [
        (PixelWishes(), 64),
        (PixelWishes(max_pixels=16_384), 16),
        (PixelWishes(max_pixels=10**9), 64),
        (PixelWishes(max_pixels=1), 64),
    ],
)
def test_the_largest_picture_is_that_of_the_budget_which_pictures_are_made_in(
    golden: Path, wishes: PixelWishes, num_tokens: int
) -> None:
    folder = golden / "qwen3_5"
    costs = estimate(folder, CPU, USUAL, wishes)
    assert costs.max_image_tokens == num_tokens
    preprocessor = read_preprocessor(folder)
    assert preprocessor is not None
    budget = pixel_budget(preprocessor, wishes)
    assert costs.max_image_tokens * preprocessor.factor**2 == budget.max_pixels


def test_smaller_pictures_take_less_of_the_device(golden: Path) -> None:
    usual, small = (
        estimate(golden / "qwen3_5", CPU, USUAL, PixelWishes(max_pixels=most))
        for most in (None, 4096)
    )
    assert small.vision_peak_bytes < usual.vision_peak_bytes
    assert small.chunk_images_bytes < usual.chunk_images_bytes


@pytest.mark.parametrize(("device", "grid_tokens"), [("cpu", 256), ("cuda", 2048)])
def test_room_for_pictures_is_for_a_chunk_as_long_as_the_devices_are(
    golden: Path, golden_model: ServableModel, device: str, grid_tokens: int
) -> None:
    shape = golden_model.shape
    costs = costs_of(
        golden / "qwen3_5", shape, Precision("exact", torch.float32), torch.device(device), 1, None
    )
    assert costs.chunk_images_bytes == (64 + 64 + grid_tokens) * shape.hidden_size * 4


def test_a_model_without_eyes_has_no_picture(golden: Path) -> None:
    assert estimate(golden / "qwen3_5_text", CPU, USUAL).max_image_tokens == 0
