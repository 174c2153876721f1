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
