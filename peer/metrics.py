"""A peer's numbers as Prometheus metric families.

Read from what the peer keeps anyway, at the moment of asking: nothing is measured here and nothing
is waited for. What an engine tells is a second old at most; it begins at nothing with every engine
process, which Prometheus takes for the reset that it is. Labels are words of ours and ids of the
catalogue's models. `docs/metrics.md` lists them all.
"""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from cortex.engine.histogram import Spread
from cortex.engine.memory import TOTAL
from cortex.engine.messages import ModelStatus

from .fleet.membership import Membership
from .fleet.view import PeerState
from .gossip.receiving import Cause
from .health import ChildHealth, NodeHealth, Placement
from .tally import ModelTally, PeerTally

# Label values and the number that belongs to them.
_Rows = Iterable[tuple[tuple[str, ...], float]]
# What the engines said last, each with its device's name.
_Told = Sequence[tuple[str, ModelStatus]]
# The dialect and the status of replies, and how many there were.
ReplyCounts = Mapping[tuple[str, int], int]


class PeerCollector(Collector):
    """All families of one peer. A peer without a fleet has no numbers of one."""

    def __init__(
        self,
        health: Callable[[], NodeHealth],
        placement: Callable[[], Placement],
        tally: PeerTally,
        replies: ReplyCounts,
        membership: Membership | None = None,
    ) -> None:
        self._health = health
        self._placement = placement
        self._tally = tally
        self._replies = replies
        self._membership = membership

    def collect(self) -> Iterator[Metric]:
        health, placement = self._health(), self._placement()
        names = [device.name for device in placement.devices]
        told = [
            (name, status)
            for name, engine in zip(names, health.engines, strict=True)
            for status in (engine.last_alive.models if engine.last_alive else ())
        ]
        yield from _of_processes(health, names)
        yield from _of_memory(placement, told)
        yield from _of_engines(told)
        yield from _of_replies(self._replies)
        yield from _of_requests(self._tally)
        if self._membership is not None:
            yield from _of_fleet(self._membership)


def _of_processes(health: NodeHealth, names: Sequence[str]) -> Iterator[Metric]:
    engines = zip(names, health.engines, strict=True)
    children = {**{("engine", name): each for name, each in engines}, ("text", ""): health.text}
    yield _gauge(
        "cortex_process_up",
        "1 where a child process runs. One that is not needed is not started.",
        ["process", "device"],
        ((labels, _is_up(child)) for labels, child in children.items()),
    )
    yield _counter(
        "cortex_restarts_total",
        "Child processes that ended and were replaced.",
        ["process", "device"],
        ((labels, child.num_restarts) for labels, child in children.items()),
    )
    yield _gauge(
        "cortex_live_requests",
        "Answers that were asked for and have not ended, in whatever stage; each choice counts.",
        [],
        [((), health.live_requests)],
    )


def _is_up(child: ChildHealth) -> int:
    return int(child.state == "up")


def _of_memory(placement: Placement, told: _Told) -> Iterator[Metric]:
    yield _gauge(
        "cortex_device_memory_budget_bytes",
        "What the models on a device may use together.",
        ["device"],
        (((device.name,), device.budget_bytes) for device in placement.devices),
    )
    yield _gauge(
        "cortex_device_memory_bytes",
        "How a model's share of that is shared out.",
        ["device", "model", "kind"],
        (
            ((placement.devices[each.device].name, each.model.id, _kind(part.name)), part.num_bytes)
            for each in placement.placed
            if each.loaded is not None
            for part in each.loaded.memory
            if part.name != TOTAL
        ),
    )
    yield _gauge(
        "cortex_device_memory_used_bytes",
        "What of a share holds something now, for shares whose use changes.",
        ["device", "model", "kind"],
        (
            ((device, status.model_id, _kind(part.name)), part.num_bytes)
            for device, status in told
            for part in status.used
        ),
    )


def _kind(name: str) -> str:
    return name.replace(" ", "_")


def _of_engines(told: _Told) -> Iterator[Metric]:
    yield _gauge(
        "cortex_running_requests",
        "Answers that the engine is computing.",
        ["model", "device"],
        (((m.model_id, device), m.num_running) for device, m in told),
    )
    yield _gauge(
        "cortex_queue_depth",
        "Answers that wait in the engine for memory or a place.",
        ["model", "device"],
        (((m.model_id, device), m.num_waiting) for device, m in told),
    )
    yield _gauge(
        "cortex_kv_pages",
        "Pages of keys and values.",
        ["model", "state", "device"],
        (
            ((m.model_id, state, device), number)
            for device, m in told
            for state, number in (
                ("used", m.num_used_pages),
                ("free", m.num_pages - m.num_used_pages),
            )
        ),
    )
    yield _counter(
        "cortex_preemptions_total",
        "Times that an answer gave its place up for want of memory, to go on later.",
        ["model", "device"],
        (((m.model_id, device), m.num_preemptions) for device, m in told),
    )
    yield _histogram(
        "cortex_step_seconds",
        "How long the engine took for a step of all that it computes.",
        ["model", "device"],
        (((m.model_id, device), m.steps) for device, m in told),
    )


def _of_replies(replies: ReplyCounts) -> Iterator[Metric]:
    yield _counter(
        "cortex_requests_total",
        "Replies to requests for answers; status 499 is for clients that left before the end.",
        ["dialect", "status"],
        (((dialect, str(status)), number) for (dialect, status), number in replies.items()),
    )


def _of_requests(tally: PeerTally) -> Iterator[Metric]:
    tallies = tally.models
    yield _counter(
        "cortex_requests_finished_total",
        "Answers by how they ended; each choice counts.",
        ["model", "reason"],
        (
            ((model, reason), number)
            for model, tally in tallies.items()
            for reason, number in tally.endings.items()
        ),
    )
    for name, words, number_of in _COUNTS:
        rows = (((model,), number_of(tally)) for model, tally in tallies.items())
        yield _counter(name, words, ["model"], rows)
    yield _counter(
        "cortex_evictions_total",
        "Models that went from a device, by why.",
        ["model", "reason"],
        tally.evictions.items(),
    )
    yield _counter(
        "cortex_failovers_total",
        "Answers that were taken up again after what computed them was gone: by a new engine, or"
        " by another peer, before the first token or after it; and requests taken elsewhere from a"
        " peer that was full.",
        ["model", "kind", "cause"],
        (
            *(((m, "engine_restart", "engine_failed"), t.num_replays) for m, t in tallies.items()),
            *tally.failovers.items(),
        ),
    )
    for name, words, spread_of in _TIMES:
        rows = (((model,), spread_of(tally)) for model, tally in tallies.items())
        yield _histogram(name, words, ["model"], rows)


def _of_fleet(membership: Membership) -> Iterator[Metric]:
    states = Counter(peer.state for peer in membership.view.peers)
    yield _gauge(
        "cortex_peers",
        "Peers that this one knows of, itself included.",
        ["state"],
        (((state,), states[state]) for state in typing.get_args(PeerState)),
    )
    counters = membership.counters
    yield _counter(
        "cortex_gossip_bytes_total",
        "Bytes of the datagrams between peers, sealed as they travel.",
        ["direction"],
        ((("sent",), counters.sent_bytes), (("received",), counters.received_bytes)),
    )
    yield _counter(
        "cortex_gossip_dropped_total",
        "Datagrams that came to the fleet's port and were not taken, by why.",
        ["cause"],
        (((cause,), counters.num_dropped.get(cause, 0)) for cause in Cause),
    )


_COUNTS: tuple[tuple[str, str, Callable[[ModelTally], int]], ...] = (
    (
        "cortex_prompt_tokens_total",
        "Tokens of the prompts that were answered.",
        lambda tally: tally.num_prompt_tokens,
    ),
    (
        "cortex_cached_tokens_total",
        "Those of them that were remembered, and not computed again.",
        lambda tally: tally.num_cached_tokens,
    ),
    (
        "cortex_completion_tokens_total",
        "Tokens of answers, reasoning included.",
        lambda tally: tally.num_completion_tokens,
    ),
    (
        "cortex_load_failures_total",
        "Loads of a model that came to nothing.",
        lambda tally: tally.num_failed_loads,
    ),
)
_TIMES: tuple[tuple[str, str, Callable[[ModelTally], Spread]], ...] = (
    (
        "cortex_time_to_first_token_seconds",
        "From a request's coming to the first token of its answer.",
        lambda tally: tally.first_token.spread,
    ),
    (
        "cortex_inter_token_seconds",
        "From one token of an answer to the next.",
        lambda tally: tally.between_tokens.spread,
    ),
    (
        "cortex_request_seconds",
        "From a request's coming to the end of its answer.",
        lambda tally: tally.answer.spread,
    ),
    (
        "cortex_load_seconds",
        "From the wish for a model that is not loaded until it was ready.",
        lambda tally: tally.load.spread,
    ),
)


def _gauge(name: str, words: str, labels: list[str], rows: _Rows) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _counter(name: str, words: str, labels: list[str], rows: _Rows) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _histogram(
    name: str, words: str, labels: list[str], spreads: Iterable[tuple[tuple[str, ...], Spread]]
) -> Metric:
    family = HistogramMetricFamily(name, words, labels=labels)
    for values, spread in spreads:
        bounds = [*map(str, spread.bounds_s), "+Inf"]
        # A bucket counts all that is below its bound.
        buckets = list(zip(bounds, accumulate(spread.counts), strict=True))
        family.add_metric(values, buckets, spread.sum_s)
    return family
