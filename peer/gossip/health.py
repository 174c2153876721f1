"""How far a peer trusts its own judgement: a slow observer must not call others dead.

A small score, raised by signs that oneself is the slow one and lowered by probes that went well.
It stretches the probe period (Lifeguard calls it the local health multiplier).
"""

from __future__ import annotations


class Health:
    """The score of one peer: 0 is well, `worst` is hardly to be trusted."""

    def __init__(self, worst: int) -> None:
        self._worst = worst
        self.score = 0

    def blame(self) -> None:
        """A probe failed without a word from its helpers, we were accused, or our loop lags."""
        self.score = min(self._worst, self.score + 1)

    def credit(self) -> None:
        self.score = max(0, self.score - 1)

    def stretch(self, period_s: float) -> float:
        return period_s * (1 + self.score)
