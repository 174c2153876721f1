"""What loads failed with of late, and engines that died: who may try again after that, and who only
where nobody is harmed.

Whoever would not be tried once more after another death is at its last try.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass

from cortex.engine.errors import CortexError

from ..children.slot import ChildEnd
from ..errors import AttemptsExhausted
from ..types import ModelInfo, is_same

# Whoever asks so soon after a load has failed is told the same; nothing is tried.
_KEPT_S = 15.0
# A device whose engine so many loads in a row ended, or which did not start, is avoided for so long
# after the last.
NUM_BAD_LOADS = 2
AVOIDED_S = 300.0


class Losses:
    """A request, and a load, is tried again at most `max_replays` times after an engine's death."""

    def __init__(self, max_replays: int) -> None:
        self._max_replays = max_replays
        # Engines that died in a row of a model's load.
        self._num_failed_loads: dict[str, int] = {}
        # By device, when its engine died of a load or did not start, since the last load that it
        # brought to an end.
        self._bad_loads_s: dict[int, deque[float]] = {}

    def load_lost(self, model_id: str) -> int:
        """An engine died of this load; how many in a row by now."""
        num_losses = self._num_failed_loads.get(model_id, 0) + 1
        self._num_failed_loads[model_id] = num_losses
        return num_losses

    def load_over(self, model_id: str) -> None:
        """It came to an end of its own, good or bad, or is not tried any more."""
        self._num_failed_loads.pop(model_id, None)

    def device_failed(self, device: int, now_s: float) -> None:
        """Its engine died of a load, whichever model's, or did not start."""
        last_s = self._bad_loads_s.setdefault(device, deque(maxlen=NUM_BAD_LOADS))
        last_s.append(now_s)

    def device_served(self, device: int) -> None:
        self._bad_loads_s.pop(device, None)

    def is_avoided(self, device: int, now_s: float) -> bool:
        bad_s = self._bad_loads_s.get(device, ())
        return len(bad_s) == NUM_BAD_LOADS and now_s < bad_s[-1] + AVOIDED_S

    def is_last_load(self, model_id: str) -> bool:
        return self.is_last_try(self._num_failed_loads.get(model_id, 0))

    def is_last_try(self, num_losses: int) -> bool:
        return 0 < self._max_replays <= num_losses

    def may_return(self, end: ChildEnd, num_losses: int) -> bool:
        return end.may_return and num_losses <= self._max_replays

    def last_word(self, end: ChildEnd) -> CortexError:
        if not end.may_return:
            return end.error
        hint = "it may be the request that ends it: ask for less, or look into the peer's log"
        return AttemptsExhausted(
            f"{end.error.message}; that is {self._max_replays + 1} times over this request",
            f"{end.remedy}; else {hint}" if end.remedy else hint,
        )


@dataclass(frozen=True, slots=True)
class _Failure:
    model: ModelInfo
    error: CortexError
    until_s: float


class RecentFailures:
    def __init__(self) -> None:
        self._by_id: dict[str, _Failure] = {}

    def add(self, model: ModelInfo, error: CortexError, now_s: float) -> None:
        recent = {id: kept for id, kept in self._by_id.items() if now_s < kept.until_s}
        self._by_id = recent | {model.id: _Failure(model, error, now_s + _KEPT_S)}

    def of(self, model: ModelInfo, now_s: float) -> CortexError | None:
        """One of its own for each who hears it: what is raised grows by where it was raised."""
        failure = self._by_id.get(model.id)
        if failure is None or now_s >= failure.until_s:
            return None
        return copy.copy(failure.error) if is_same(model, failure.model) else None
