"""Engines side by side: rates from timelines, ratios from rounds, equality of tokens. Pure.

Rates of one engine drift with the machine; the ratio of two that were measured one after the other
drifts far less. So every round measures every engine, ratios are taken within a round, and of the
rounds the median is told with its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import median
from typing import Literal

from cortex.peer.measure.timeline import Timeline

Kind = Literal["decode at 1", "decode at 8", "prefill"]

KINDS: tuple[Kind, ...] = ("decode at 1", "decode at 8", "prefill")
OURS = "cortex"


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure: what an engine did in a round."""

    engine: str
    kind: Kind
    round: int
    tokens_per_s: float
    load_average: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours by another's, round by round. `other` is an engine or `best`."""

    other: str
    kind: Kind
    median: float
    lowest: float
    highest: float


def decode_rate(timelines: Sequence[Timeline]) -> float:
    """Tokens a second while all of them were decoding.

    From the last first token to the first last token: prefill and the emptying of the batch are
    left out. Each timeline holds two tokens at least.
    """
    from_s = max(timeline.arrivals[0].at_s for timeline in timelines)
    until_s = min(timeline.arrivals[-1].at_s for timeline in timelines)
    num_tokens = sum(
        arrival.num_tokens
        for timeline in timelines
        for arrival in timeline.arrivals
        if from_s < arrival.at_s <= until_s
    )
    return num_tokens / (until_s - from_s) if until_s > from_s else 0.0


def prefill_rate(timeline: Timeline, prompt_tokens: int) -> float:
    """Prompt tokens by the time to the first token of a lone request."""
    return prompt_tokens / timeline.ttft_s


def equal_tokens(reference: Sequence[Timeline], other: Sequence[Timeline]) -> int:
    """How many of the tokens agree before the first that does not, all answers together.

    An answer without ids is compared by its text: so much of it as whole tokens make.
    """
    return sum(_equal(one, two) for one, two in zip(reference, other, strict=True))


def _equal(reference: Timeline, other: Timeline) -> int:
    if other.token_ids:
        pairs = zip(reference.token_ids, other.token_ids, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    equal_chars = sum(
        1 for _ in takewhile(lambda p: p[0] == p[1], zip(reference.text, other.text, strict=False))
    )
    # All tokens that an untrained model makes are of one length, near enough.
    return len(reference.token_ids) * equal_chars // max(1, len(reference.text))


def rates(measured: Sequence[Measured], engine: str, kind: Kind) -> list[float]:
    return [m.tokens_per_s for m in measured if (m.engine, m.kind) == (engine, kind)]


def ratios(measured: Sequence[Measured], exact: frozenset[str]) -> list[Ratio]:
    """Ours against each other engine, and against the best of every round.

    Only engines in `exact` can be the best: one that computes something else is no measure.
    """
    others = list(dict.fromkeys(m.engine for m in measured if m.engine != OURS))
    found: list[Ratio] = []
    for kind in KINDS:
        ours = _by_round(measured, OURS, kind)
        by_engine = {other: _by_round(measured, other, kind) for other in others}
        best: dict[int, float] = {}
        for other, rounds in by_engine.items():
            found += _ratio(other, kind, ours, rounds)
            for number, rate in rounds.items() if other in exact else ():
                best[number] = max(rate, best.get(number, 0.0))
        found += _ratio("best", kind, ours, best)
    return found


def _ratio(other: str, kind: Kind, ours: dict[int, float], theirs: dict[int, float]) -> list[Ratio]:
    pairs = [ours[number] / rate for number, rate in theirs.items() if number in ours and rate]
    return [Ratio(other, kind, median(pairs), min(pairs), max(pairs))] if pairs else []


def _by_round(measured: Sequence[Measured], engine: str, kind: Kind) -> dict[int, float]:
    return {m.round: m.tokens_per_s for m in measured if (m.engine, m.kind) == (engine, kind)}


def table(
    measured: Sequence[Measured], found: Sequence[Ratio], agreed: dict[str, str]
) -> list[tuple[str, ...]]:
    """Rows of text: engine, median rates, our ratios to it, and how many tokens agree."""
    rows: list[tuple[str, ...]] = []
    for engine in dict.fromkeys(m.engine for m in measured):
        medians = [rates(measured, engine, kind) for kind in KINDS]
        cells = [f"{median(values):,.1f}" if values else "-" for values in medians]
        rows.append((engine, *cells, *_ratio_cells(found, engine), agreed.get(engine, "-")))
    rows.append(("best of the others", "", "", "", *_ratio_cells(found, "best"), ""))
    return rows


def _ratio_cells(found: Sequence[Ratio], other: str) -> list[str]:
    by_kind = {ratio.kind: ratio for ratio in found if ratio.other == other}
    return [
        f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})"
        if (ratio := by_kind.get(kind))
        else "-"
        for kind in KINDS
    ]
