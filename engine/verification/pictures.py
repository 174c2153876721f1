"""Golden preprocessing: sizes that smart_resize chooses, resized bytes, patch values."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from ..errors import InvalidImage
from ..images import prepare_image, smart_resize
from ..patches import image_patches
from ..preprocessor import PixelBudget, Preprocessor
from .checks import CaseResult, Check, close, equal, run_case, summed_up

_MERGE, _TEMPORAL = 2, 2
_PIXEL_ATOL = 1e-6
_STATISTIC_ATOL = 1e-5
# Sums and means in the file are rounded to six digits.
_SUM_RELATIVE = 1e-5


def smart_resize_cases(folder: Path) -> Iterator[CaseResult]:
    """One line for all rows: they differ in numbers only."""
    rows = json.loads((folder / "smart_resize.json").read_text(encoding="utf-8"))["rows"]
    yield summed_up(f"smart_resize, {len(rows)} sizes", [_size_check(row) for row in rows])


def _size_check(row: list[int | None]) -> Check:
    height, width, factor, low, high = cast("list[int]", row[:5])
    try:
        ours: list[int | None] = list(smart_resize(height, width, factor, low, high))
    except InvalidImage:
        ours = [None, None]
    return equal(f"{height}x{width} in {low}..{high}", ours, row[5:])


def preprocess_cases(folder: Path) -> Iterator[CaseResult]:
    cases = json.loads((folder / "preprocess.json").read_text(encoding="utf-8"))["cases"]
    with np.load(folder / "preprocess.npz") as arrays:
        for case in cases:
            name = f"preprocess {case['image']} {case['shortest_edge']}..{case['longest_edge']}"
            yield run_case(name, partial(_picture_checks, folder, case, arrays))


def _picture_checks(folder: Path, case: dict[str, Any], arrays: Any) -> Iterator[Check]:
    patch, low, high = case["patch_size"], case["shortest_edge"], case["longest_edge"]
    data = (folder.parent / "images" / f"{case['image']}.png").read_bytes()
    image = prepare_image(
        data, Preprocessor(patch, _MERGE, _TEMPORAL, low, high), PixelBudget(low, high)
    )
    values = image_patches(image, patch, _MERGE, _TEMPORAL)
    yield equal("grid", list(image.grid_thw), case["image_grid_thw"])
    times, rows, columns = image.grid_thw
    yield equal("tokens", times * rows * columns // _MERGE**2, case["llm_tokens"])
    yield equal("shape", list(values.shape), case["shape"])
    statistics = [values.mean(), values.std(), values.min(), values.max()]
    names = ("mean", "std", "min", "max")
    stated = torch.tensor([case[name] for name in names])
    yield close("mean, std, min, max", torch.stack(statistics), stated, _STATISTIC_ATOL)
    with Image.open(io.BytesIO(data)) as picture:
        stated_picture = [case["mode"], case["width"], case["height"]]
        yield equal("mode and size", [picture.mode, *picture.size], stated_picture)
    yield close("first values", values.flatten()[:8], torch.tensor(case["first8"]), _PIXEL_ATOL)
    yield close("last values", values.flatten()[-8:], torch.tensor(case["last8"]), _PIXEL_ATOL)
    sums = values.double()[:: max(1, len(values) // 16)].sum(dim=1)
    expected = torch.tensor(case["row_sums"], dtype=torch.float64)
    atol = _SUM_RELATIVE * max(1.0, expected.abs().max().item())
    yield close("row sums", sums[: len(expected)], expected, atol)
    for key in case["arrays"]:
        stored = torch.from_numpy(arrays[key])
        if key.endswith("resized_rgb"):
            rgb = torch.frombuffer(bytearray(image.rgb), dtype=torch.uint8)
            yield close("resized_rgb", rgb.view(rows * patch, columns * patch, 3), stored, 0.0)
        else:
            yield close("pixel_values", values, stored, _PIXEL_ATOL)
