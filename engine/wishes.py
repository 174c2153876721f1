"""What an operator wishes of how models are computed. What comes of it: `precision.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

EngineChoice = Literal["torch", "fake"]
ModeWish = Literal["auto", "exact", "fast"]
DtypeWish = Literal["auto", "float32", "bfloat16"]
KernelsWish = Literal["auto", "torch"]
SpeculationWish = Literal["auto", "off"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """`auto` is what pays on the device; of kernels, our own wherever they serve; of
    speculation, as far as it is measured to pay; `off` leaves a model's draft head in its files."""

    mode: ModeWish = "auto"
    dtype: DtypeWish = "auto"
    kernels: KernelsWish = "auto"
    speculation: SpeculationWish = "auto"

    def of(self, model: ModelWishes) -> Wishes:
        """What holds for one model."""
        return self if model.dtype is None else replace(self, dtype=model.dtype)


# 1024 x 1024, where nobody asks for more: what a document needs to be read; more costs prefill time
# without telling more.
MOST_PIXELS = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PixelWishes:
    """How large pictures are made for a model, as areas in pixels; None is left to the checkpoint.
    Larger ones than `max_image_pixels` are not opened at all.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    max_image_pixels: int = 40_000_000

    def cover(self, other: PixelWishes) -> bool:
        """Whether there is room for the other's largest pictures where there is for these."""
        if self.max_pixels == other.max_pixels:
            return True
        return self.max_pixels is not None and self.max_pixels >= (other.max_pixels or MOST_PIXELS)


# Of whom nobody has asked for anything else.
USUAL_PIXELS = PixelWishes()


@dataclass(frozen=True, slots=True)
class ModelWishes:
    """What is wished of one model; `dtype` None is what is wished of all."""

    dtype: DtypeWish | None = None
    pixels: PixelWishes = USUAL_PIXELS

    def cover(self, other: ModelWishes) -> bool:
        """Whether a model that was loaded by these serves as by the others."""
        return self.dtype == other.dtype and self.pixels.cover(other.pixels)


# Of whom nothing is said.
AS_ALL = ModelWishes()
