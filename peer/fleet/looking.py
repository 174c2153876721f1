"""When a new view is made: soon after something may have changed, and not too often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .view import FleetView

VIEW_GAP_S = 0.1


class Lookout:
    """`look` makes the view, the same one where nothing has changed; `show` takes a new one."""

    def __init__(self, look: Callable[[], FleetView], show: Callable[[FleetView], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._look = look
        self._show = show
        self._shown: FleetView | None = None
        self._looked_s = float("-inf")
        self._next: asyncio.TimerHandle | None = None

    def stir(self) -> None:
        """Something may have changed."""
        if self._next is None:
            due_s = max(self._loop.time(), self._looked_s + VIEW_GAP_S)
            self._next = self._loop.call_at(due_s, self.look_now)

    def look_now(self) -> None:
        self.stop()
        self._looked_s = self._loop.time()
        view = self._look()
        if view is not self._shown:
            self._shown = view
            self._show(view)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
