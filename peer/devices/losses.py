"""Engines that died, and under whom: who may try again, and who only where nobody is harmed.

Whoever would not be tried once more after another death is at its last try.
"""

from __future__ import annotations

from cortex.engine.errors import CortexError

from ..children.slot import ChildEnd
from ..errors import AttemptsExhausted


class Losses:
    """A request, and a load, is tried again at most `max_replays` times after an engine's death."""

    def __init__(self, max_replays: int) -> None:
        self._max_replays = max_replays
        # Engines that died in a row of a model's load.
        self._num_failed_loads: dict[str, int] = {}

    def load_lost(self, model_id: str) -> int:
        """An engine died of this load; how many in a row by now."""
        num_losses = self._num_failed_loads.get(model_id, 0) + 1
        self._num_failed_loads[model_id] = num_losses
        return num_losses

    def load_over(self, model_id: str) -> None:
        """It came to an end of its own, good or bad, or is not tried any more."""
        self._num_failed_loads.pop(model_id, None)

    def is_last_load(self, model_id: str) -> bool:
        return self.is_last_try(self._num_failed_loads.get(model_id, 0))

    def is_last_try(self, num_losses: int) -> bool:
        return 0 < self._max_replays <= num_losses

    def may_return(self, end: ChildEnd, num_losses: int) -> bool:
        return end.may_return and num_losses <= self._max_replays

    def last_word(self, end: ChildEnd) -> CortexError:
        if not end.may_return:
            return end.error
        return AttemptsExhausted(
            f"{end.error.message}; that is {self._max_replays + 1} times over this request",
            "it may be the request that ends it: ask for less, or look into the peer's log",
        )
