"""Where one sequence lives on a device. Plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Place:
    """Its pages in order, its state slot, and how many tokens of it are there."""

    pages: Sequence[int]
    slot: int
    num_tokens: int = 0
