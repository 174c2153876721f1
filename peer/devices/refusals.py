"""Models that were refused when an engine was asked what they take, and when it is asked again.

The reason may be gone within the minute, as memory that others had or a disk that did not answer,
and nothing that is known of the model tells of it; or it is there for good, and each question costs
the start of an engine.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..types import ModelInfo

# The first rest, and the longest: each is twice the one before.
_FIRST_REST_S, _MOST_REST_S = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class _Rest:
    lasts_s: float
    until_s: float


class Refusals:
    """A model of which anything else is known is another one, and is asked about at once."""

    def __init__(self) -> None:
        self._rests: dict[ModelInfo, _Rest] = {}

    def forget_others(self, models: Collection[ModelInfo]) -> None:
        for model in self._rests.keys() - set(models):
            del self._rests[model]

    def refused(self, model: ModelInfo, now_s: float) -> None:
        before = self._rests.get(model)
        lasts_s = _FIRST_REST_S if before is None else min(2 * before.lasts_s, _MOST_REST_S)
        self._rests[model] = _Rest(lasts_s, now_s + lasts_s)

    def is_left_alone(self, model: ModelInfo, now_s: float) -> bool:
        rest = self._rests.get(model)
        return rest is not None and now_s < rest.until_s
