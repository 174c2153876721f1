"""A peer's numbers as Prometheus reads them, and the page that lists them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as strict_parser
from prometheus_client.parser import text_string_to_metric_families

from cortex.engine.costs import MemoryPart
from cortex.engine.histogram import Spread
from cortex.engine.messages import Alive, Loaded, ModelStatus
from cortex.peer.fleet.membership import GossipCounters
from cortex.peer.fleet.view import FleetView, PeerView
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.receiving import Cause
from cortex.peer.observing.health import ChildHealth, NodeHealth, Placed, Placement
from cortex.peer.observing.live import LiveRequest
from cortex.peer.observing.metric_families import FAMILIES
from cortex.peer.observing.metrics import Numbers, PeerCollector
from cortex.peer.observing.replies import ReplyTally
from cortex.peer.observing.tally import ModelTally
from cortex.peer.placement.books import DeviceBooks, Resident, Size
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
    num_drafted=21,
    num_replayed=7,
    num_accepted=17,
    num_foreseen=8,
    num_foreseen_accepted=5,
)
MEMORY = (
    MemoryPart("weights", 1000),
    MemoryPart("keys and values", 2000, "so many pages"),
    MemoryPart("total", 3000),
)
UP = ChildHealth("up", 1, Alive(7, 5, 0, (STATUS,)), 3, None)
STOPPED = ChildHealth("stopped", None, None, 0, None)
BROKEN = ChildHealth("starting", None, None, 0, "gave up", is_failing=True)
LOADED = Loaded("1", "m", 0, 1.0, "exact mode, float32, own kernels", MEMORY)
HEALTH = NodeHealth((UP, BROKEN), STOPPED, live_requests=7, is_draining=False)
INFO = ModelInfo("m", None, ("text",), 4096, 0)
NEXT = ModelInfo("n", None, ("text",), 4096, 0)
WAITED_FOR = ModelInfo("w", None, ("text",), 4096, 0)
RESIDENTS = (
    Resident(ModelId(bytes(8)), "m", "ready", 3000),
    Resident(ModelId(bytes(8)), "n", "loading", 2000),
)
DEVICES = (
    DeviceBooks(0, "cuda:0", 9000, foreign_bytes=500, residents=RESIDENTS[:1]),
    DeviceBooks(1, "cuda:1", 8000, residents=RESIDENTS[1:]),
)
PLACEMENT = Placement(
    DEVICES,
    (
        Placed(INFO, 0, "ready", Size(4096, 1, 3000), LOADED),
        Placed(NEXT, 1, "loading", Size(4096, 1, 2000)),
    ),
    (WAITED_FOR, WAITED_FOR),
)
ME = PeerView(NodeId(bytes(8)), gen=1, name="me", state="suspect", is_self=True)
FLEET = SimpleNamespace(
    view=FleetView("", ME.node, peers=(ME, replace(ME, is_self=False))),
    counters=GossipCounters(11, 12, {Cause.KEY: 13}),
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
    made.queue.add(0.2)
    made.first_token.add(0.3)
    made.between_tokens.add(0.03, 4)
    made.speed.add(25)
    made.answer.add(2.5)
    made.load.add(2000)
    return made


def replies() -> ReplyTally:
    """Of two that failed, one in its stream, one that was answered, and one whose client left."""
    made = ReplyTally()
    for status, error, ending in ((503, 503, ""), (200, 503, ""), (200, None, "stop")):
        live = LiveRequest("req_1", "openai", "-", 10.0)
        live.model_id, live.first_token_s, live.ending = "m", 1.5, ending
        if error is not None:
            live.failed("overloaded", error)
        made.ended(live, status, 14.0)
    live = LiveRequest("req_2", "openai", "-", 10.0)
    live.left()
    made.ended(live, 499, 12.0)
    return made


def collected(
    health: NodeHealth = HEALTH,
    tallies: Mapping[str, ModelTally] | None = None,
    placement: Placement = PLACEMENT,
) -> Numbers:
    tallies = {"m": tally()} if tallies is None else tallies
    fleet: Any = FLEET
    failovers = {(name, "retry", "host_lost"): 5 for name in tallies}
    evictions = {(name, "lru"): 6 for name in tallies}
    all_of_it: Any = SimpleNamespace(models=tallies, failovers=failovers, evictions=evictions)
    return PeerCollector(
        lambda: health,
        lambda: placement,
        lambda: 9,
        all_of_it,
        replies() if tallies else ReplyTally(),
        fleet,
    ).collect()


def exposed(
    health: NodeHealth = HEALTH,
    tallies: Mapping[str, ModelTally] | None = None,
    placement: Placement = PLACEMENT,
) -> str:
    return generate_latest(collected(health, tallies, placement)).decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in the order of the labels' names."""
    return {
        (sample.name, *(v for label, v in sorted(sample.labels.items()) if label != "peer")): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_number_is_there_under_its_name_and_labels() -> None:
    found = samples(exposed())
    expected: dict[tuple[str, ...], float] = {
        ("cortex_process_up", "cuda:0", "engine"): 1,
        ("cortex_process_up", "cuda:1", "engine"): 0,
        ("cortex_process_up", "", "text"): 0,
        ("cortex_process_failing", "cuda:0", "engine"): 0,
        ("cortex_process_failing", "cuda:1", "engine"): 1,
        ("cortex_process_failing", "", "text"): 0,
        ("cortex_restarts_total", "cuda:0", "engine"): 3,
        ("cortex_restarts_total", "cuda:1", "engine"): 0,
        ("cortex_restarts_total", "", "text"): 0,
        ("cortex_live_requests",): 9,
        ("cortex_device_memory_budget_bytes", "cuda:0"): 9000,
        ("cortex_device_memory_budget_bytes", "cuda:1"): 8000,
        ("cortex_device_memory_bytes", "cuda:0", "free", ""): 5500,
        ("cortex_device_memory_bytes", "cuda:0", "foreign", ""): 500,
        ("cortex_device_memory_bytes", "cuda:1", "free", ""): 6000,
        ("cortex_device_memory_bytes", "cuda:1", "foreign", ""): 0,
        ("cortex_device_memory_bytes", "cuda:1", "loading", "n"): 2000,
        ("cortex_device_memory_bytes", "cuda:0", "weights", "m"): 1000,
        ("cortex_device_memory_bytes", "cuda:0", "keys_and_values", "m"): 2000,
        ("cortex_device_memory_used_bytes", "cuda:0", "keys_and_values", "m"): 640,
        ("cortex_running_requests", "cuda:0", "m"): 2,
        ("cortex_queue_depth", "cuda:0", "m"): 5,
        ("cortex_queue_depth", "", "w"): 2,
        ("cortex_kv_pages", "cuda:0", "m", "used"): 30,
        ("cortex_kv_pages", "cuda:0", "m", "free"): 70,
        ("cortex_preemptions_total", "cuda:0", "m"): 4,
        ("cortex_replayed_steps_total", "cuda:0", "m"): 7,
        ("cortex_drafted_tokens_total", "cuda:0", "lookup", "m"): 13,
        ("cortex_drafted_tokens_total", "cuda:0", "head", "m"): 8,
        ("cortex_accepted_tokens_total", "cuda:0", "lookup", "m"): 12,
        ("cortex_accepted_tokens_total", "cuda:0", "head", "m"): 5,
        ("cortex_requests_total", "openai", "503"): 1,
        ("cortex_requests_total", "openai", "200"): 2,
        ("cortex_requests_total", "openai", "499"): 1,
        ("cortex_request_errors_total", "overloaded", "openai", "503"): 2,
        ("cortex_client_time_to_first_token_seconds_sum", "m"): 4.5,
        ("cortex_client_request_seconds_sum", "m"): 4,
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
        ("cortex_queue_seconds_sum", "m"): 0.2,
        ("cortex_time_to_first_token_seconds_sum", "m"): 0.3,
        ("cortex_inter_token_seconds_sum", "m"): 0.12,
        ("cortex_tokens_per_second_sum", "m"): 25,
        ("cortex_request_seconds_sum", "m"): 2.5,
        ("cortex_load_seconds_sum", "m"): 2000,
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
    assert found["cortex_load_seconds_bucket", "1200.0", "m"] == 0
    assert found["cortex_load_seconds_bucket", "+Inf", "m"] == 1


def test_an_engine_that_is_not_there_has_no_numbers_and_the_peer_keeps_its_own() -> None:
    gone = NodeHealth((STOPPED, STOPPED), STOPPED, 0, is_draining=False)
    names = {key[0] for key in samples(exposed(gone, placement=Placement(DEVICES)))}
    assert {"cortex_prompt_tokens_total", "cortex_device_memory_budget_bytes"} <= names
    assert not any("used" in name or "step" in name or "pages" in name for name in names)


def test_a_peer_that_has_done_nothing_says_so_without_models() -> None:
    idle = NodeHealth((STOPPED, STOPPED), STOPPED, 0, is_draining=False)
    models = [key for key in samples(exposed(idle, {}, Placement(DEVICES))) if "m" in key]
    assert models == []


def test_numbers_are_those_of_one_moment_whenever_they_are_spelt() -> None:
    tallies = {"m": tally()}
    numbers, before = collected(HEALTH, tallies), exposed(HEALTH, tallies)
    tallies["m"].endings["length"] += 1
    tallies["m"].num_completion_tokens += 1
    tallies["m"].answer.add(1.0)
    tallies["n"] = tally()
    assert exposed(HEALTH, tallies) != generate_latest(numbers).decode() == before


def test_the_names_of_models_are_quoted() -> None:
    name = 'a"b\\c\nd'
    found: Any = samples(exposed(HEALTH, {name: tally()}))
    assert found["cortex_prompt_tokens_total", name] == 50


def test_all_of_it_is_told_as_the_table_of_metrics_says() -> None:
    told = {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le", "peer"},
            family.documentation,
        )
        for family in text_string_to_metric_families(exposed())
    }
    assert told == {each.name: (each.kind, set(each.labels), each.words) for each in FAMILIES}


def test_in_a_fleet_every_number_says_whose_it_is() -> None:
    families = [*text_string_to_metric_families(exposed())]
    assert {sample.labels["peer"] for family in families for sample in family.samples} == {"me"}


def test_names_have_the_units_and_endings_that_prometheus_expects() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"cortex(_[a-z]+)+", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert not family.name.endswith(("_count", "_sum", "_bucket", "_info"))
        assert not re.search(r"_(ms|kb|mib|milliseconds|minutes|percent)(_|$)", family.name)
        assert family.words.endswith(".")
        assert "le" not in family.labels and len(set(family.labels)) == len(family.labels)
        if family.kind == "histogram":
            assert family.name.endswith(("_seconds", "_per_second"))


def test_no_series_and_no_heading_is_told_twice() -> None:
    lines = exposed().splitlines()
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    headings = [" ".join(line.split(" ", 3)[:3]) for line in lines if line.startswith("#")]
    assert len(set(series)) == len(series)
    assert len(set(headings)) == len(headings) == 2 * len(FAMILIES)


def test_a_parser_that_takes_nothing_amiss_reads_all_of_it() -> None:
    """OpenMetrics' own: it wants rising buckets, counts that fit them and families in one piece."""
    strict: Any = strict_parser
    told: Any = openmetrics
    text = told.generate_latest(collected()).decode()
    assert len([*strict.text_string_to_metric_families(text)]) == len(FAMILIES)
    with pytest.raises(ValueError):
        list(strict.text_string_to_metric_families(text.replace('le="+Inf"', 'le="0.0"')))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
def test_promtool_finds_nothing_to_mend() -> None:
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=exposed(), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
