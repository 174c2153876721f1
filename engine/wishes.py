"""What an operator wishes of how models are computed. What comes of it: `precision.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModeWish = Literal["auto", "exact", "fast"]
DtypeWish = Literal["auto", "float32", "bfloat16"]
KernelsWish = Literal["auto", "torch"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """`auto` is what pays on the device; of kernels, our own wherever they can be compiled."""

    mode: ModeWish = "auto"
    dtype: DtypeWish = "auto"
    kernels: KernelsWish = "auto"


@dataclass(frozen=True, slots=True)
class PixelWishes:
    """How large pictures are made for a model, as areas in pixels; None is left to the checkpoint.
    Larger ones than `max_image_pixels` are not opened at all.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    max_image_pixels: int = 40_000_000
