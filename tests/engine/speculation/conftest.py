"""Golden prompts with pictures, ready for an engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex.engine.images import prepare_image
from cortex.engine.preprocessor import PixelBudget, read_preprocessor
from cortex.engine.types import PreparedImage
from cortex.engine.weights import read_tensors

# By a case's name: the prompt's tokens, its pictures, and the tokens of a greedy answer.
GoldenCase = Callable[[str], tuple[list[int], tuple[PreparedImage, ...], list[int]]]


@pytest.fixture
def golden_case(golden: Path) -> GoldenCase:
    def read(name: str) -> tuple[list[int], tuple[PreparedImage, ...], list[int]]:
        folder = golden / "qwen3_5"
        cases = json.loads((folder / "expected" / "cases.json").read_text())["cases"]
        case = next(c for c in cases if c["case"] == name)
        ids = read_tensors(folder / "expected" / case["file"])["input_ids"]
        sizes = read_preprocessor(folder)
        assert sizes is not None
        own = PixelBudget(sizes.min_pixels, sizes.max_pixels)
        images = tuple(
            prepare_image((golden / "images" / f"{image}.png").read_bytes(), sizes, own)
            for image in case["images"]
        )
        return [int(i) for i in ids], images, case["greedy_ids"]

    return read
