"""What loads failed with of late: whoever asks soon after is told the same; nothing is tried."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from cortex.engine.errors import CortexError

from ..types import ModelInfo, is_same

_KEPT_S = 15.0


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
