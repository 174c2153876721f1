"""Engines that have nothing to do: one that is up takes a device's memory, its context and what it
remembers of prompts, keeps a GPU awake, and is given up where that has lasted. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable


class IdleEngines:
    """Since when each device has had an engine and no model."""

    def __init__(self) -> None:
        self._since_s: dict[int, float] = {}

    def due(self, empty: Iterable[int], now_s: float, most_s: float | None) -> list[int]:
        """Which of the devices that are `empty` have been so for long enough, None for never. One
        that is not among them begins anew.
        """
        self._since_s = {device: self._since_s.get(device, now_s) for device in empty}
        if most_s is None:
            return []
        return [device for device, since_s in self._since_s.items() if now_s - since_s >= most_s]
