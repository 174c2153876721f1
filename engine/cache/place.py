"""Where one sequence lives on a device. Plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Place:
    """Its pages in order, its state slot, and how many tokens of it are there."""

    pages: list[int]
    slot: int
    num_tokens: int = 0
