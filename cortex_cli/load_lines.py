"""How far the loads of a peer's own models are, a line each every few seconds. That one begins and
how it ends is told of the chronicle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortex.peer.fleet.view import FleetView

_BAR_CELLS = 16
# Whoever waits for less does not wonder.
_BAR_EVERY_S = 2.0


class LoadLines:
    """The lines of one view after the other."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Of each load, when a line of it was told last, or it began.
        self._told_s: dict[str, float] = {}

    def of(self, view: FleetView) -> Iterator[str]:
        now_s = self._clock()
        loading = [model for model in view.me.placed if model.state == "loading"]
        self._told_s = {model.id: self._told_s.get(model.id, now_s) for model in loading}
        for model in loading:
            if model.percent and now_s - self._told_s[model.id] >= _BAR_EVERY_S:
                self._told_s[model.id] = now_s
                full = _BAR_CELLS * model.percent // 100
                bar = "█" * full + "░" * (_BAR_CELLS - full)
                yield f"loading {model.id}   {bar} {model.percent} %"
