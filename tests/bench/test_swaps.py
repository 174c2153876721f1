"""What the trial of models that come and go reads and allows."""

from __future__ import annotations

import pytest

from bench.swaps.figures import most_loads, read_moves

METRICS = """\
# TYPE cortex_evictions_total counter
cortex_evictions_total{model="a",reason="lru"} 3
cortex_evictions_total{model="b",reason="lru"} 1
cortex_evictions_total{model="b",reason="idle"} 2
# TYPE cortex_load_failures_total counter
cortex_load_failures_total{model="a"} 0
cortex_load_failures_total{model="b"} 1
# TYPE cortex_load_seconds histogram
cortex_load_seconds_bucket{model="a",le="+Inf"} 4
cortex_load_seconds_count{model="a"} 4
cortex_load_seconds_sum{model="a"} 2.5
cortex_load_seconds_bucket{model="b",le="+Inf"} 1
cortex_load_seconds_count{model="b"} 1
cortex_load_seconds_sum{model="b"} 1.5
"""


def test_loads_are_counted_by_model_and_evictions_by_reason() -> None:
    moves = read_moves(METRICS)
    assert moves.loads == {"a": 4, "b": 1}
    assert moves.evictions == {"lru": 4, "idle": 2}
    assert (moves.load_s, moves.num_failed) == (4.0, 1)


@pytest.mark.parametrize(("seconds", "most"), [(0, 5), (10, 10), (100, 55)])
def test_each_model_and_each_place_may_change_once_in_a_minimal_residency(
    seconds: float, most: float
) -> None:
    assert most_loads(seconds, num_models=3, num_places=2, min_residency_s=10) == most
