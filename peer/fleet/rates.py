"""How fast a peer was of late, out of counters that only rise. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cortex.engine.histogram import Spread

# Slow answers have seconds from token to token.
_SILENT_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Rates:
    """What the last requests came to; 0 is not known yet, and of `decode_tokens_per_s` that nothing
    is decoded. `stay_ms` is how long one of those that are here stays, `stays_ms` the same by
    model, of those with which one has ended. `speed_steps` is by model, as it is told of each.
    """

    first_token_ms: int = 0
    decode_tokens_per_s: int = 0
    stay_ms: int = 0
    stays_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    speed_steps: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Durations:
    """So many of a kind, and their sum. Both only rise."""

    num: int = 0
    sum_s: float = 0.0


class RateMeter:
    """What has come since it last looked. First tokens that came with a load had waited for it,
    and say nothing of the next ones.

    `decode_tokens_per_s` is the speed of one answer, not of all together: it says the same of a
    busy peer and of one that has a single request. It ends soon after the tokens do: a peer that
    rests, reads, or stands still with requests has none.
    """

    def __init__(self) -> None:
        self._rates = Rates()
        self._num_silent_looks = 0
        self._first_tokens, self._gaps, self._num_loads = Durations(), Durations(), 0

    def read(self, first_tokens: Durations, gaps: Durations, num_loads: int) -> Rates:
        """An idle peer keeps the other rates of its last work: they say how fast it is."""
        first_s, gap_s = _mean_s(self._first_tokens, first_tokens), _mean_s(self._gaps, gaps)
        if first_s is not None and num_loads == self._num_loads:
            self._rates = replace(self._rates, first_token_ms=round(first_s * 1000))
        self._num_silent_looks = self._num_silent_looks + 1 if gap_s is None else 0
        if gap_s:
            self._rates = replace(self._rates, decode_tokens_per_s=round(1 / gap_s))
        elif self._num_silent_looks >= _SILENT_LOOKS:
            self._rates = replace(self._rates, decode_tokens_per_s=0)
        self._first_tokens, self._gaps, self._num_loads = first_tokens, gaps, num_loads
        return self._rates


def _mean_s(before: Durations, after: Durations) -> float | None:
    """Of those that have come in between; None where none have."""
    num = after.num - before.num
    return (after.sum_s - before.sum_s) / num if num > 0 else None


def summed(spreads: Iterable[Spread]) -> Durations:
    told = list(spreads)
    return Durations(sum(sum(each.counts) for each in told), sum(each.sum for each in told))
