"""Models that live on a peer and did not load there: when they are tried again, without anybody's
asking. A peer runs for months, and what was in the way may be gone within the minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from cortex.engine.errors import CortexError, ModelInvalid, ModelNotSupported

from ..errors import AttemptsExhausted
from ..types import ModelInfo

# The first rest, and the longest: each is twice the one before.
_FIRST_REST_S, _MOST_REST_S = 15.0, 600.0
# Files that are wrong stay so, but those of a share that is away for a moment look the same; and an
# engine that ends over a load takes its other models along.
_COSTLY_REST_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Rest:
    weights: bytes
    lasts_s: float
    until_s: float
    is_quiet: bool


class Homeless:
    def __init__(self) -> None:
        self._rests: dict[str, _Rest] = {}

    def failed(self, model: ModelInfo, error: CortexError, now_s: float) -> None:
        ends_engines = isinstance(error, AttemptsExhausted)
        before = self._rests.get(model.id)
        if ends_engines or isinstance(error, ModelInvalid | ModelNotSupported):
            lasts_s = _COSTLY_REST_S
        elif before is None or before.weights != model.weights:
            lasts_s = _FIRST_REST_S
        else:
            lasts_s = min(2 * before.lasts_s, _MOST_REST_S)
        self._rests[model.id] = _Rest(model.weights, lasts_s, now_s + lasts_s, ends_engines)

    def loaded(self, model_id: str) -> None:
        self._rests.pop(model_id, None)

    def rest_s(self, model: ModelInfo, now_s: float) -> float:
        """How long it is left alone from now on; other files are tried at once."""
        rest = self._rests.get(model.id)
        return 0.0 if rest is None or rest.weights != model.weights else rest.until_s - now_s

    def needs_quiet(self, model_id: str) -> bool:
        """Whether it has ended engines: it begins where nobody is harmed by that."""
        rest = self._rests.get(model_id)
        return rest is not None and rest.is_quiet
