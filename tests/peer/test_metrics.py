"""A peer's numbers as Prometheus reads them, and the page that lists them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cortex.engine.costs import MemoryPart
from cortex.engine.histogram import Spread
from cortex.engine.messages import Alive, Loaded, ModelStatus
from cortex.peer.fleet.membership import GossipCounters
from cortex.peer.fleet.view import FleetView, PeerView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.receiving import Cause
from cortex.peer.health import ChildHealth, NodeHealth, Placed, Placement
from cortex.peer.metrics import PeerCollector
from cortex.peer.placement.books import DeviceBooks, Size
from cortex.peer.tally import ModelTally
from cortex.peer.types import ModelInfo

STATUS = ModelStatus(
    "m",
    Spread((0.01, 0.1), (3, 0, 2), 1.5),
    num_preemptions=4,
    num_running=2,
    num_waiting=5,
    num_pages=100,
    num_used_pages=30,
    used=(MemoryPart("keys and values", 640),),
)
MEMORY = (
    MemoryPart("weights", 1000),
    MemoryPart("keys and values", 2000, "so many pages"),
    MemoryPart("total", 3000),
)
UP = ChildHealth("up", 1, Alive(7, 5, 0, (STATUS,)), 3, None)
STOPPED = ChildHealth("stopped", None, None, 0, None)
LOADED = Loaded("1", "m", 0, 1.0, "exact mode, float32, own kernels", MEMORY)
HEALTH = NodeHealth((UP,), STOPPED, live_requests=9, is_draining=False)
DEVICES = (DeviceBooks(0, "cuda:0", 9000),)
INFO = ModelInfo("m", None, ("text",), 4096, 0)
PLACEMENT = Placement(DEVICES, (Placed(INFO, 0, "ready", Size(4096, 1, 3000), LOADED),))
ME = PeerView(NodeId(bytes(8)), gen=1, name="me", state="suspect", is_self=True)
FLEET = SimpleNamespace(
    view=FleetView("", ME.node, peers=(ME, ME)), counters=GossipCounters(11, 12, {Cause.KEY: 13})
)


def tally() -> ModelTally:
    made = ModelTally(
        endings=Counter({"stop": 6, "cancelled": 1}),
        num_prompt_tokens=50,
        num_cached_tokens=20,
        num_completion_tokens=70,
        num_replays=2,
        num_failed_loads=1,
    )
    made.first_token.add(0.3)
    made.between_tokens.add(0.03, 4)
    made.answer.add(2.5)
    made.load.add(1000)
    return made


def exposed(
    health: NodeHealth = HEALTH,
    tallies: Mapping[str, ModelTally] | None = None,
    placement: Placement = PLACEMENT,
) -> str:
    registry = CollectorRegistry()
    tallies = {"m": tally()} if tallies is None else tallies
    fleet: Any = FLEET
    failovers = {(name, "retry", "host_lost"): 5 for name in tallies}
    evictions = {(name, "lru"): 6 for name in tallies}
    all_of_it: Any = SimpleNamespace(models=tallies, failovers=failovers, evictions=evictions)
    replies = {("openai", 503): 8}
    registry.register(PeerCollector(lambda: health, lambda: placement, all_of_it, replies, fleet))
    return generate_latest(registry).decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_number_is_there_under_its_name_and_labels() -> None:
    found = samples(exposed())
    expected: dict[tuple[str, ...], float] = {
        ("cortex_process_up", "cuda:0", "engine"): 1,
        ("cortex_process_up", "", "text"): 0,
        ("cortex_restarts_total", "cuda:0", "engine"): 3,
        ("cortex_restarts_total", "", "text"): 0,
        ("cortex_live_requests",): 9,
        ("cortex_device_memory_budget_bytes", "cuda:0"): 9000,
        ("cortex_device_memory_bytes", "cuda:0", "weights", "m"): 1000,
        ("cortex_device_memory_bytes", "cuda:0", "keys_and_values", "m"): 2000,
        ("cortex_device_memory_used_bytes", "cuda:0", "keys_and_values", "m"): 640,
        ("cortex_running_requests", "cuda:0", "m"): 2,
        ("cortex_queue_depth", "cuda:0", "m"): 5,
        ("cortex_kv_pages", "cuda:0", "m", "used"): 30,
        ("cortex_kv_pages", "cuda:0", "m", "free"): 70,
        ("cortex_preemptions_total", "cuda:0", "m"): 4,
        ("cortex_requests_total", "openai", "503"): 8,
        ("cortex_requests_finished_total", "m", "stop"): 6,
        ("cortex_requests_finished_total", "m", "cancelled"): 1,
        ("cortex_prompt_tokens_total", "m"): 50,
        ("cortex_cached_tokens_total", "m"): 20,
        ("cortex_completion_tokens_total", "m"): 70,
        ("cortex_load_failures_total", "m"): 1,
        ("cortex_evictions_total", "m", "lru"): 6,
        ("cortex_failovers_total", "engine_failed", "engine_restart", "m"): 2,
        ("cortex_failovers_total", "host_lost", "retry", "m"): 5,
        ("cortex_step_seconds_sum", "cuda:0", "m"): 1.5,
        ("cortex_time_to_first_token_seconds_sum", "m"): 0.3,
        ("cortex_inter_token_seconds_sum", "m"): 0.12,
        ("cortex_request_seconds_sum", "m"): 2.5,
        ("cortex_load_seconds_sum", "m"): 1000,
        ("cortex_peers", "up"): 0,
        ("cortex_peers", "draining"): 0,
        ("cortex_peers", "suspect"): 2,
        ("cortex_peers", "dead"): 0,
        ("cortex_peers", "left"): 0,
        ("cortex_gossip_bytes_total", "sent"): 11,
        ("cortex_gossip_bytes_total", "received"): 12,
        **{("cortex_gossip_dropped_total", cause): 0 for cause in Cause},
        ("cortex_gossip_dropped_total", "key"): 13,
    }
    without_buckets = {
        key: value for key, value in found.items() if not key[0].endswith(("_bucket", "_count"))
    }
    assert without_buckets == expected


def test_buckets_count_all_that_is_below_their_bound() -> None:
    found = samples(exposed())
    bounds = ("0.01", "0.1", "+Inf")
    counts = [found["cortex_step_seconds_bucket", "cuda:0", le, "m"] for le in bounds]
    assert counts == [3, 3, 5]
    assert found["cortex_step_seconds_count", "cuda:0", "m"] == 5
    # Beyond the last bound there is still the bucket of all.
    assert found["cortex_load_seconds_bucket", "500.0", "m"] == 0
    assert found["cortex_load_seconds_bucket", "+Inf", "m"] == 1


def test_an_engine_that_is_not_there_has_no_numbers_and_the_peer_keeps_its_own() -> None:
    gone = NodeHealth((STOPPED,), STOPPED, 0, is_draining=False)
    names = {key[0] for key in samples(exposed(gone, placement=Placement(DEVICES)))}
    assert {"cortex_prompt_tokens_total", "cortex_device_memory_budget_bytes"} <= names
    assert not any(
        "memory_bytes" in name or "used" in name or "step" in name or "pages" in name
        for name in names
    )


def test_a_peer_that_has_done_nothing_says_so_without_models() -> None:
    idle = NodeHealth((STOPPED,), STOPPED, 0, is_draining=False)
    models = [key for key in samples(exposed(idle, {}, Placement(DEVICES))) if "m" in key]
    assert models == []


def test_the_names_of_models_are_quoted() -> None:
    name = 'a"b\\c\nd'
    found: Any = samples(exposed(HEALTH, {name: tally()}))
    assert found["cortex_prompt_tokens_total", name] == 50


def test_the_page_of_metrics_lists_each_with_its_kind_its_labels_and_its_meaning(
    checkout: Path,
) -> None:
    page = (checkout / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    told = {name: (kind, labels, words) for name, kind, labels, words in rows}
    for family in text_string_to_metric_families(exposed()):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        kind, told_labels, words = told.pop(name)
        assert kind == family.type
        assert set(re.findall(r"`(\w+)`", told_labels)) == labels
        assert words == family.documentation
    assert not told
