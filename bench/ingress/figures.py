"""What was seen becomes figures, and figures of several rounds become one. Pure: no clock.

Percentiles are those of cortex.peer.measure. Lag is counted for the events that were given away
within the window, whenever they arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from cortex.peer.measure.statistics import percentile


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """`core_share` is the ingress's CPU time by the clock's; `cpu_s` its CPU time a request."""

    requests_per_s: float
    core_share: float
    cpu_s: float


class Open(msgspec.Struct, frozen=True, tag="open"):
    p50_s: float
    p99_s: float


class Streams(msgspec.Struct, frozen=True, tag="streams"):
    """`events_per_s` is of each stream. Lag is None where the answers carry no stamps."""

    events_per_s: float
    core_share: float
    lag_p50_s: float | None
    lag_p99_s: float | None


class Picture(msgspec.Struct, frozen=True, tag="picture"):
    """Memory of the ingress beyond what it had: at its peak, and a moment after the answer."""

    request_bytes: int
    peak_bytes: int
    kept_bytes: int
    took_s: float

    @property
    def peak_share(self) -> float:
        return self.peak_bytes / self.request_bytes

    @property
    def kept_share(self) -> float:
        return self.kept_bytes / self.request_bytes


Figures = Closed | Open | Streams | Picture


class Measured(msgspec.Struct, frozen=True):
    """One figure of one round. `load` names what was done."""

    contender: str
    load: str
    round: int
    figures: Figures


def latency_of(latencies_s: Sequence[float]) -> Open:
    return Open(percentile(latencies_s, 50), percentile(latencies_s, 99))


def lag_of(
    arrivals_s: Sequence[tuple[float, float]], from_s: float, until_s: float
) -> tuple[float | None, float | None]:
    """Half and 99 of a hundred of the lags, of pairs (given away, read)."""
    lags_s = [read_s - given_s for given_s, read_s in arrivals_s if from_s <= given_s < until_s]
    if not lags_s:
        return None, None
    return percentile(lags_s, 50), percentile(lags_s, 99)


def field(measured: Sequence[Measured], contender: str, load: str, name: str) -> list[float]:
    """One figure by rounds, without those in which it could not be taken."""
    found = (
        getattr(m.figures, name) for m in measured if (m.contender, m.load) == (contender, load)
    )
    return [value for value in found if value is not None]


def middle(measured: Sequence[Measured], contender: str, load: str, name: str) -> float | None:
    values = field(measured, contender, load, name)
    return median(values) if values else None


def ratio(
    measured: Sequence[Measured], ours: str, theirs: str, load: str, name: str
) -> float | None:
    """Ours by theirs, taken within each round: the median of the rounds."""
    pairs = _pairs(measured, ours, theirs, load, name)
    ratios = [one / other for one, other in pairs if other]
    return median(ratios) if ratios else None


def added(measured: Sequence[Measured], contender: str, direct: str, name: str) -> float | None:
    """How much later an answer is than without anything in front of the backend."""
    differences = [one - other for one, other in _pairs(measured, contender, direct, "open", name)]
    return median(differences) if differences else None


def _pairs(
    measured: Sequence[Measured], one: str, other: str, load: str, name: str
) -> list[tuple[float, float]]:
    """What two contenders came to in the rounds that both of them have."""
    by_round: dict[str, dict[int, float]] = {one: {}, other: {}}
    for m in measured:
        if m.load == load and m.contender in by_round:
            by_round[m.contender][m.round] = getattr(m.figures, name)
    return [
        (value, by_round[other][number])
        for number, value in by_round[one].items()
        if number in by_round[other]
    ]
