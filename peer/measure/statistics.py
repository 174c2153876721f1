"""Timelines become figures. Pure: no clock, no network.

The definitions are those of vLLM's serving benchmark: TPOT = (E2E - TTFT) / (n - 1) a request;
throughput over the time from the first request sent to the last one ended; percentiles by linear
interpolation between the two nearest values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from .timeline import Timeline


@dataclass(frozen=True, slots=True)
class Percentiles:
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """One round: some requests at one concurrency. None where nothing was there to measure.

    `tokens_per_s` is the output of all requests together; `prefill_tokens_per_s` the median of what
    each of them saw, which is the endpoint's prefill speed only where none waited for another.
    `errors` says how often which one came.
    """

    num_requests: int
    num_answered: int
    duration_s: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    ttft_s: Percentiles | None
    inter_token_s: Percentiles | None
    time_per_output_token_s: Percentiles | None
    end_to_end_s: Percentiles | None
    tokens_per_s: float | None
    total_tokens_per_s: float | None
    prefill_tokens_per_s: float | None
    errors: tuple[tuple[str, int], ...]
    is_per_token: bool


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the values lie, interpolated.

    `values` holds at least one.
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def percentiles(values: Iterable[float | None]) -> Percentiles | None:
    known = [value for value in values if value is not None]
    return Percentiles(percentile(known, 50), percentile(known, 99)) if known else None


def figures_of(timelines: Sequence[Timeline]) -> RoundFigures:
    """What one round came to. `timelines` holds at least one; their order means nothing."""
    answered = [timeline for timeline in timelines if timeline.is_answered]
    duration_s = max(t.ended_s for t in timelines) - min(t.sent_s for t in timelines)
    output_tokens = sum(t.output_tokens for t in answered)
    prompt_tokens = sum(t.prompt_tokens or 0 for t in answered)
    speeds = [s for t in answered if (s := t.prefill_tokens_per_s) is not None]
    has_duration = bool(answered) and duration_s > 0
    return RoundFigures(
        num_requests=len(timelines),
        num_answered=len(answered),
        duration_s=duration_s,
        prompt_tokens=prompt_tokens,
        cached_tokens=sum(t.cached_tokens for t in answered),
        output_tokens=output_tokens,
        ttft_s=percentiles(t.ttft_s for t in answered),
        inter_token_s=percentiles(pause_s for t in answered for pause_s in t.pauses_s()),
        time_per_output_token_s=percentiles(t.time_per_output_token_s for t in answered),
        end_to_end_s=percentiles(t.end_to_end_s for t in answered),
        tokens_per_s=output_tokens / duration_s if has_duration else None,
        total_tokens_per_s=(output_tokens + prompt_tokens) / duration_s if has_duration else None,
        prefill_tokens_per_s=median(speeds) if speeds else None,
        errors=tuple(sorted(Counter(_failure(t) for t in timelines if _failure(t)).items())),
        is_per_token=bool(answered) and all(t.has_token_ids for t in answered),
    )


def _failure(timeline: Timeline) -> str:
    if timeline.is_answered:
        return ""
    return timeline.error or "no token came"


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several rounds."""

    median: float
    lowest: float
    highest: float


def spread(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return Spread(median(known), min(known), max(known)) if known else None
