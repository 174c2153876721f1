"""What a benchmark found, as the table people read and the object programs read.

Pure. Each figure of the table is the median of its rounds; what it is the median of is in the JSON,
down to the time of every token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from cortex.peer.measure.questions import Way
from cortex.peer.measure.rounds import Plan, Sample
from cortex.peer.measure.statistics import RoundFigures, figures_of, spread
from cortex.peer.measure.timeline import Timeline

SCHEMA = 1
HEAD = (
    "CONCURRENCY",
    "ANSWERED",
    "TTFT p50",
    "p99",
    "INTER-TOKEN p50",
    "p99",
    "TPOT",
    "E2E p50",
    "TOK/S",
    "PREFILL TOK/S",
)
# The figures that have a spread, as paths into RoundFigures.
_SPREADS = (
    "ttft_s.p50",
    "ttft_s.p99",
    "inter_token_s.p50",
    "inter_token_s.p99",
    "time_per_output_token_s.p50",
    "time_per_output_token_s.p99",
    "end_to_end_s.p50",
    "end_to_end_s.p99",
    "tokens_per_s",
    "total_tokens_per_s",
    "prefill_tokens_per_s",
)


def table_rows(samples: Sequence[Sample]) -> list[tuple[str, ...]]:
    """A row for each concurrency at which something was measured."""
    return [_row(concurrency, rounds) for concurrency, rounds in _levels(samples)]


def notes(way: Way, plan: Plan, samples: Sequence[Sample]) -> list[str]:
    """How to read the table: what was asked, what a token is, how far the rounds lie apart."""
    figures = [figure for _, rounds in _levels(samples) for _, figure in rounds]
    lines = [f"asked through {_way_words(way)}; {_lengths(plan, figures)}."]
    if figures and all(figure.is_per_token for figure in figures):
        lines.append("inter-token times are per token, by the ids in the stream.")
    else:
        lines.append("inter-token times are per event: this endpoint does not say which tokens.")
    for concurrency, rounds in _levels(samples):
        speeds = spread(figure.tokens_per_s for _, figure in rounds)
        if speeds is not None and len(rounds) > 1:
            between = f"{speeds.lowest:,.1f} to {speeds.highest:,.1f} tok/s"
            lines.append(f"concurrency {concurrency}: {len(rounds)} rounds, {between}.")
        errors: dict[str, int] = {}
        for _, figure in rounds:
            for name, count in figure.errors:
                errors[name] = errors.get(name, 0) + count
        lines += [f"concurrency {concurrency}: {n} x {name}." for name, n in errors.items()]
    return lines


def as_json(
    url: str, plan: Plan, way: Way, samples: Sequence[Sample], *, is_complete: bool, date: str
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "url": url,
        "model": plan.model,
        "date": date,
        "complete": is_complete,
        "asked_through": way.path,
        "fixed_lengths_asked": way.has_extras,
        "prompt_tokens_asked": plan.prompt_tokens,
        "output_tokens_asked": plan.output_tokens,
        "with_image": plan.image is not None,
        "seed": plan.seed,
        "levels": [_level_json(c, rounds, samples) for c, rounds in _levels(samples)],
    }


def _levels(samples: Sequence[Sample]) -> list[tuple[int, list[tuple[int, RoundFigures]]]]:
    """Each concurrency with its rounds, in the order they were first seen."""
    grouped: dict[int, dict[int, list[Timeline]]] = {}
    for sample in samples:
        rounds = grouped.setdefault(sample.concurrency, {})
        rounds.setdefault(sample.round, []).append(sample.timeline)
    return [
        (concurrency, [(number, figures_of(timelines)) for number, timelines in rounds.items()])
        for concurrency, rounds in grouped.items()
    ]


def _row(concurrency: int, rounds: list[tuple[int, RoundFigures]]) -> tuple[str, ...]:
    figures = [figure for _, figure in rounds]
    answered = sum(figure.num_answered for figure in figures)
    asked = sum(figure.num_requests for figure in figures)
    return (
        str(concurrency),
        f"{answered}/{asked}",
        _seconds(_median(figures, "ttft_s.p50")),
        _seconds(_median(figures, "ttft_s.p99")),
        _seconds(_median(figures, "inter_token_s.p50")),
        _seconds(_median(figures, "inter_token_s.p99")),
        _seconds(_median(figures, "time_per_output_token_s.p50")),
        _seconds(_median(figures, "end_to_end_s.p50")),
        _rate(_median(figures, "tokens_per_s")),
        _rate(_median(figures, "prefill_tokens_per_s")),
    )


def _level_json(
    concurrency: int, rounds: list[tuple[int, RoundFigures]], samples: Sequence[Sample]
) -> dict[str, Any]:
    figures = [figure for _, figure in rounds]
    spreads = {path: spread(_value(figure, path) for figure in figures) for path in _SPREADS}
    return {
        "concurrency": concurrency,
        "spread": {path: asdict(found) for path, found in spreads.items() if found is not None},
        "rounds": [
            asdict(figure)
            | {
                "errors": dict(figure.errors),
                "requests": [
                    _timeline_json(sample.timeline)
                    for sample in samples
                    if (sample.concurrency, sample.round) == (concurrency, number)
                ],
            }
            for number, figure in rounds
        ],
    }


def _timeline_json(timeline: Timeline) -> dict[str, Any]:
    """One request. Times are microseconds-exact, and relative to each other: they stay small."""
    arrivals = timeline.arrivals
    return {
        "sent_s": round(timeline.sent_s, 6),
        "ttft_s": round(timeline.ttft_s, 6) if arrivals else None,
        "pauses_s": [round(after.at_s - before.at_s, 6) for before, after in pairwise(arrivals)],
        "tokens": [arrival.num_tokens for arrival in arrivals],
        "prompt_tokens": timeline.prompt_tokens,
        "cached_tokens": timeline.cached_tokens,
        "completion_tokens": timeline.completion_tokens,
        "error": timeline.error or None,
    }


def _median(figures: Sequence[RoundFigures], path: str) -> float | None:
    found = spread(_value(figure, path) for figure in figures)
    return None if found is None else found.median


def _value(figure: RoundFigures, path: str) -> float | None:
    value: Any = figure
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return value


def _way_words(way: Way) -> str:
    exact = "" if way.has_extras else ", which takes no wish for a fixed length"
    return f"/{way.path} with {'token ids' if way.kind == 'completions' else 'text'}{exact}"


def _lengths(plan: Plan, figures: Sequence[RoundFigures]) -> str:
    answered = max(1, sum(figure.num_answered for figure in figures))
    prompt = sum(figure.prompt_tokens for figure in figures) / answered
    output = sum(figure.output_tokens for figure in figures) / answered
    cached = sum(figure.cached_tokens for figure in figures)
    reused = f", {cached:,} of all prompt tokens from a cache" if cached else ""
    return (
        f"{prompt:,.0f} prompt tokens ({plan.prompt_tokens:,} wished) and {output:,.0f} output "
        f"tokens ({plan.output_tokens:,} wished) a request{reused}"
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f} s" if value >= 1 else f"{value * 1000:,.1f} ms"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
