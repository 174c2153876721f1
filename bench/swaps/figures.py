"""What a peer's numbers say of its loads and evictions, and how many there may be. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Moves:
    """How often each model was loaded, and what for others went, by why."""

    loads: Counter[str]
    load_s: float
    evictions: Counter[str]
    num_failed: int


def read_moves(metrics: str) -> Moves:
    """From what `/metrics` tells."""
    samples = [one for family in text_string_to_metric_families(metrics) for one in family.samples]

    def counted(name: str, label: str) -> Counter[str]:
        found = Counter[str]()
        for sample in samples:
            if sample.name == name and sample.value:
                found[sample.labels[label]] += int(sample.value)
        return found

    return Moves(
        counted("cortex_load_seconds_count", "model"),
        sum(one.value for one in samples if one.name == "cortex_load_seconds_sum"),
        counted("cortex_evictions_total", "reason"),
        counted("cortex_load_failures_total", "model").total(),
    )


def most_loads(seconds: float, num_models: int, num_places: int, min_residency_s: float) -> float:
    """How many loads the rules allow in that time where every model is wanted all the while.

    What goes has been there for the minimal residency, or somebody has waited for as long; the
    first loads are free. (What is idle may go sooner, but nothing is.)
    """
    return (num_models + num_places) * (1 + seconds / min_residency_s)
