"""What an operator wishes of how models are computed. What comes of it: `precision.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModeWish = Literal["auto", "exact", "fast"]
DtypeWish = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """`auto` is what pays on the device."""

    mode: ModeWish = "auto"
    dtype: DtypeWish = "auto"
