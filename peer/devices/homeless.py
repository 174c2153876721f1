"""Models that live on a peer and did not load there: when they are tried again, without anybody's
asking. A peer runs for months, and what was in the way may be gone within the minute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cortex.engine.errors import CortexError, EngineFailed, ModelInvalid, ModelNotSupported

from ..errors import AttemptsExhausted
from ..types import ModelInfo

# The first rest, and the longest: each is twice the one before.
_FIRST_REST_S, _MOST_REST_S = 15.0, 3600.0


@dataclass(frozen=True, slots=True)
class _Rest:
    weights: bytes
    lasts_s: float
    until_s: float


class Homeless:
    """One that ended engines, by its load or by the look at it, rests until its files change: the
    next one would take others' models and answers along. What an engine refused and lived on may
    be had later: memory, a disk, the files of a share that is away for a moment.
    """

    def __init__(self) -> None:
        self._rests: dict[str, _Rest] = {}

    def failed(self, model: ModelInfo, error: CortexError, now_s: float) -> None:
        before = self._of(model)
        lasts_s = _FIRST_REST_S if before is None else min(2 * before.lasts_s, _MOST_REST_S)
        if isinstance(error, ModelInvalid | ModelNotSupported):
            lasts_s = _MOST_REST_S
        ended_engines = isinstance(error, AttemptsExhausted | EngineFailed)
        if ended_engines or (before is not None and before.lasts_s == math.inf):
            lasts_s = math.inf
        self._rests[model.id] = _Rest(model.weights, lasts_s, now_s + lasts_s)

    def succeeded(self, model_id: str) -> None:
        self._rests.pop(model_id, None)

    def has_failed(self, model: ModelInfo) -> bool:
        """Since its files are these, and it was not loaded since."""
        return self._of(model) is not None

    def rest_s(self, model: ModelInfo, now_s: float) -> float:
        """How long it is left alone from now on: without end, where that is up to its files."""
        rest = self._of(model)
        return 0.0 if rest is None else rest.until_s - now_s

    def _of(self, model: ModelInfo) -> _Rest | None:
        rest = self._rests.get(model.id)
        return None if rest is None or rest.weights != model.weights else rest
