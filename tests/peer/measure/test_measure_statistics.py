"""Figures of a benchmark, from timelines made by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.measure.statistics import Percentiles, figures_of, percentile, spread
from cortex.peer.measure.timeline import Arrival, Timeline

times = st.floats(0, 1e6, allow_nan=False)


def answer(
    sent_s: float,
    *at_s: float,
    tokens: int = 1,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    cached_tokens: int = 0,
) -> Timeline:
    """A request whose events came at these times, each with `tokens` tokens."""
    return Timeline(
        sent_s,
        at_s[-1],
        tuple(Arrival(at, tokens) for at in at_s),
        has_token_ids=True,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
    )


def test_a_request_takes_until_its_first_and_until_its_last_token() -> None:
    seen = answer(10.0, 10.5, 10.7, 10.9)
    assert seen.ttft_s == pytest.approx(0.5)
    assert seen.end_to_end_s == pytest.approx(0.9)
    assert seen.pauses_s() == pytest.approx([0.2, 0.2])


def test_time_per_output_token_leaves_the_first_token_out() -> None:
    seen = answer(0.0, 1.0, 2.0, 4.0)
    assert seen.time_per_output_token_s == pytest.approx((4.0 - 1.0) / (3 - 1))


def test_time_per_output_token_counts_the_tokens_the_endpoint_tells_of_not_the_events() -> None:
    seen = answer(0.0, 1.0, 2.0, completion_tokens=5)
    assert seen.time_per_output_token_s == pytest.approx((2.0 - 1.0) / 4)


def test_a_single_token_has_no_time_between_tokens() -> None:
    seen = figures_of([answer(0.0, 1.0)])
    assert seen.time_per_output_token_s is None
    assert seen.inter_token_s is None


def test_tokens_that_came_together_share_the_pause_before_them() -> None:
    assert answer(0.0, 1.0, 2.0, tokens=4).pauses_s() == [0.25] * 4


@given(st.lists(times, min_size=2, max_size=20), st.integers(1, 8))
def test_pauses_add_up_to_the_time_after_the_first_token(at_s: list[float], tokens: int) -> None:
    seen = answer(0.0, *sorted(at_s), tokens=tokens)
    after_first_s = seen.end_to_end_s - seen.ttft_s
    assert sum(seen.pauses_s()) == pytest.approx(after_first_s, rel=1e-6, abs=1e-6)
    assert len(seen.pauses_s()) == tokens * (len(at_s) - 1)


def test_throughput_is_over_the_time_from_the_first_sent_to_the_last_ended() -> None:
    first = answer(0.0, 1.0, 2.0, prompt_tokens=10, completion_tokens=2)
    second = answer(1.0, 3.0, 4.0, prompt_tokens=30, completion_tokens=2)
    seen = figures_of([second, first])
    assert seen.duration_s == 4.0
    assert seen.tokens_per_s == pytest.approx(4 / 4.0)
    assert seen.total_tokens_per_s == pytest.approx(44 / 4.0)


def test_prefill_speed_leaves_out_what_came_from_a_cache() -> None:
    seen = figures_of([answer(0.0, 0.5, prompt_tokens=100, cached_tokens=60)])
    assert seen.prefill_tokens_per_s == pytest.approx(40 / 0.5)
    assert seen.cached_tokens == 60


def test_failures_are_counted_by_name_and_measured_nowhere() -> None:
    failed = Timeline(0.0, 9.0, (Arrival(8.0),), error="status 503 overloaded")
    silent = Timeline(0.0, 1.0)
    seen = figures_of([answer(0.0, 1.0, 2.0), failed, failed, silent])
    assert (seen.num_requests, seen.num_answered) == (4, 1)
    assert seen.errors == (("no token came", 1), ("status 503 overloaded", 2))
    assert seen.ttft_s == Percentiles(1.0, 1.0)
    assert seen.output_tokens == 2


def test_a_round_without_an_answer_has_no_figures() -> None:
    seen = figures_of([Timeline(0.0, 1.0, error="TimeoutError")])
    assert (seen.ttft_s, seen.tokens_per_s, seen.prefill_tokens_per_s) == (None, None, None)
    assert not seen.is_per_token


def test_percentiles_interpolate_between_the_nearest_values() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([0.0, 100.0], 99) == pytest.approx(99.0)
    assert percentile([7.0], 99) == 7.0


@given(st.lists(times, min_size=1), st.floats(0, 100))
def test_a_percentile_lies_within_its_values(values: list[float], percent: float) -> None:
    assert min(values) <= percentile(values, percent) * (1 + 1e-12)
    assert percentile(values, percent) <= max(values) * (1 + 1e-12)


def test_a_spread_is_the_median_and_the_ends_of_what_is_known() -> None:
    found = spread([3.0, None, 1.0, 10.0])
    assert found is not None
    assert (found.median, found.lowest, found.highest) == (3.0, 1.0, 10.0)
    assert spread([None]) is None
