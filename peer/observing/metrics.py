"""A peer's numbers, as Prometheus metric families.

Read from what the peer keeps anyway, at the moment of asking: nothing is measured here and nothing
is waited for. What an engine tells is a second old at most; it begins at nothing with every engine
process, which Prometheus takes for the reset that it is. Of a peer that has served many models
there are thousands of lines to spell, and any thread may do that. What each of them means is said
in `metric_families.py`.
"""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from cortex.engine.histogram import Spread
from cortex.engine.memory import TOTAL
from cortex.engine.messages import ModelStatus

from ..fleet.membership import Membership
from ..fleet.view import PeerState
from ..gossip.receiving import Cause
from .health import ChildHealth, NodeHealth, Placed, Placement
from .metric_families import FAMILIES, Kind
from .replies import ReplyTally
from .tally import ModelTally, PeerTally

# Label values and the number that belongs to them.
_Row = tuple[tuple[str, ...], float | Spread]
_Rows = Iterable[_Row]
# A family's name and all that it tells at one moment.
_Filled = tuple[str, Sequence[_Row]]
# What the engines said last, each with its device's name.
_Told = Sequence[tuple[str, ModelStatus]]

_BY_NAME = {family.name: family for family in FAMILIES}
_KINDS: Mapping[Kind, Callable[..., Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class Numbers(Collector):
    """What one peer tells at one moment."""

    def __init__(self, peer: str, families: Sequence[_Filled]) -> None:
        self._peer = peer
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return (_metric(name, rows, self._peer) for name, rows in self._families)


class PeerCollector:
    """All families of one peer."""

    def __init__(
        self,
        health: Callable[[], NodeHealth],
        placement: Callable[[], Placement],
        num_live: Callable[[], int],
        tally: PeerTally,
        replies: ReplyTally,
        membership: Membership,
    ) -> None:
        self._health = health
        self._placement = placement
        self._num_live = num_live
        self._tally = tally
        self._replies = replies
        self._membership = membership

    def collect(self) -> Numbers:
        families = (*self._own(), *_of_fleet(self._membership))
        return Numbers(self._membership.view.me.name, families)

    def _own(self) -> Iterator[_Filled]:
        health, placement = self._health(), self._placement()
        names = [device.name for device in placement.devices]
        told = [
            (name, status)
            for name, engine in zip(names, health.engines, strict=True)
            for status in (engine.last_alive.models if engine.last_alive else ())
        ]
        yield from _of_processes(health, names)
        yield _family("cortex_live_requests", [((), self._num_live())])
        yield from _of_memory(placement, told)
        yield from _of_engines(told, placement)
        yield from _of_replies(self._replies)
        yield from _of_requests(self._tally)


def _of_processes(health: NodeHealth, names: Sequence[str]) -> Iterator[_Filled]:
    engines = zip(names, health.engines, strict=True)
    children = {**{("engine", name): each for name, each in engines}, ("text", ""): health.text}
    yield _family("cortex_process_up", ((of, _is_up(child)) for of, child in children.items()))
    failing = ((of, int(child.is_failing)) for of, child in children.items())
    yield _family("cortex_process_failing", failing)
    restarts = ((labels, child.num_restarts) for labels, child in children.items())
    yield _family("cortex_restarts_total", restarts)


def _is_up(child: ChildHealth) -> int:
    return int(child.state == "up")


def _of_memory(placement: Placement, told: _Told) -> Iterator[_Filled]:
    budgets = (((device.name,), device.budget_bytes) for device in placement.devices)
    yield _family("cortex_device_memory_budget_bytes", budgets)
    yield _family("cortex_device_memory_bytes", _shares(placement))
    yield _family(
        "cortex_device_memory_used_bytes",
        (
            ((device, status.model_id, _kind(part.name)), part.num_bytes)
            for device, status in told
            for part in status.used
        ),
    )


def _shares(placement: Placement) -> _Rows:
    for device in placement.devices:
        yield (device.name, "", "free"), max(device.free_bytes, 0)
        yield (device.name, "", "foreign"), device.foreign_bytes
    for placed in placement.placed:
        name = placement.devices[placed.device].name
        for kind, num_bytes in _parts(placed):
            yield (name, placed.model.id, kind), num_bytes


def _parts(placed: Placed) -> Iterator[tuple[str, int]]:
    """Of a model that is still on its way, or whose engine does not tell, the whole is known."""
    if placed.loaded is None or not placed.loaded.memory:
        yield "loading" if placed.state == "loading" else "all", placed.size.num_bytes
        return
    for part in placed.loaded.memory:
        if part.name != TOTAL:
            yield _kind(part.name), part.num_bytes


def _kind(name: str) -> str:
    return name.replace(" ", "_")


def _of_engines(told: _Told, placement: Placement) -> Iterator[_Filled]:
    running = (((device, m.model_id), m.num_running) for device, m in told)
    yield _family("cortex_running_requests", running)
    waiting = Counter({(device, m.model_id): m.num_waiting for device, m in told})
    waiting.update(("", model.id) for model in placement.wanted)
    yield _family("cortex_queue_depth", waiting.items())
    pages = (
        ((device, m.model_id, state), number)
        for device, m in told
        for state, number in (("used", m.num_used_pages), ("free", m.num_pages - m.num_used_pages))
    )
    yield _family("cortex_kv_pages", pages)
    preemptions = (((device, m.model_id), m.num_preemptions) for device, m in told)
    yield _family("cortex_preemptions_total", preemptions)
    drafted = _by_drafter(told, lambda m: (m.num_drafted, m.num_foreseen))
    yield _family("cortex_drafted_tokens_total", drafted)
    accepted = _by_drafter(told, lambda m: (m.num_accepted, m.num_foreseen_accepted))
    yield _family("cortex_accepted_tokens_total", accepted)
    replayed = (((device, m.model_id), m.num_replayed) for device, m in told)
    yield _family("cortex_replayed_steps_total", replayed)
    yield _family("cortex_step_seconds", (((device, m.model_id), m.steps) for device, m in told))


def _by_drafter(told: _Told, counted: Callable[[ModelStatus], tuple[int, int]]) -> _Rows:
    """Of numbers for all drafters together, and for draft heads alone."""
    for device, status in told:
        of_all, of_head = counted(status)
        yield (device, status.model_id, "lookup"), of_all - of_head
        yield (device, status.model_id, "head"), of_head


def _of_replies(replies: ReplyTally) -> Iterator[_Filled]:
    statuses = (((dialect, str(status)), n) for (dialect, status), n in replies.statuses.items())
    yield _family("cortex_requests_total", statuses)
    errors = (((*of, str(status)), n) for (*of, status), n in replies.errors.items())
    yield _family("cortex_request_errors_total", errors)
    for name, spreads in (
        ("cortex_client_time_to_first_token_seconds", replies.first_token),
        ("cortex_client_request_seconds", replies.answer),
    ):
        yield _family(name, (((model,), told.spread) for model, told in spreads.items()))


def _of_requests(tally: PeerTally) -> Iterator[_Filled]:
    tallies = tally.models
    yield _family(
        "cortex_requests_finished_total",
        (
            ((model, reason), number)
            for model, tally in tallies.items()
            for reason, number in tally.endings.items()
        ),
    )
    for name, number_of in _COUNTS.items():
        yield _family(name, (((model,), number_of(tally)) for model, tally in tallies.items()))
    yield _family("cortex_evictions_total", tally.evictions.items())
    replays = (((m, "engine_restart", "engine_failed"), t.num_replays) for m, t in tallies.items())
    yield _family("cortex_failovers_total", (*replays, *tally.failovers.items()))
    for name, spread_of in _SPREADS.items():
        yield _family(name, (((model,), spread_of(tally)) for model, tally in tallies.items()))


def _of_fleet(membership: Membership) -> Iterator[_Filled]:
    states = Counter(peer.state for peer in membership.view.peers)
    known = (((state,), states[state]) for state in typing.get_args(PeerState))
    yield _family("cortex_peers", known)
    counters = membership.counters
    gossip = ((("sent",), counters.sent_bytes), (("received",), counters.received_bytes))
    yield _family("cortex_gossip_bytes_total", gossip)
    dropped = (((cause,), counters.num_dropped.get(cause, 0)) for cause in Cause)
    yield _family("cortex_gossip_dropped_total", dropped)


_COUNTS: Mapping[str, Callable[[ModelTally], int]] = {
    "cortex_prompt_tokens_total": lambda tally: tally.num_prompt_tokens,
    "cortex_cached_tokens_total": lambda tally: tally.num_cached_tokens,
    "cortex_completion_tokens_total": lambda tally: tally.num_completion_tokens,
    "cortex_load_failures_total": lambda tally: tally.num_failed_loads,
}
_SPREADS: Mapping[str, Callable[[ModelTally], Spread]] = {
    "cortex_queue_seconds": lambda tally: tally.queue.spread,
    "cortex_time_to_first_token_seconds": lambda tally: tally.first_token.spread,
    "cortex_inter_token_seconds": lambda tally: tally.between_tokens.spread,
    "cortex_tokens_per_second": lambda tally: tally.speed.spread,
    "cortex_request_seconds": lambda tally: tally.answer.spread,
    "cortex_load_seconds": lambda tally: tally.load.spread,
}


def _buckets(spread: Spread) -> tuple[list[tuple[str, int]], float]:
    """A bucket counts all that is below its bound."""
    bounds = [*map(str, spread.bounds), "+Inf"]
    return list(zip(bounds, accumulate(spread.counts), strict=True)), spread.sum


def _family(name: str, rows: _Rows) -> _Filled:
    return name, tuple(rows)


def _metric(name: str, rows: _Rows, peer: str) -> Metric:
    """Of the kind that the table of metrics says."""
    known = _BY_NAME[name]
    metric = _KINDS[known.kind](name, known.words, labels=(*known.labels, "peer"))
    for labels, value in rows:
        told = _buckets(value) if isinstance(value, Spread) else (value,)
        metric.add_metric((*labels, peer), *told)
    return metric
