"""The dashboard and the example for Prometheus ask for numbers that a peer tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from cortex.peer.api.errors import KINDS
from cortex.peer.config import DEFAULT_PORT, METRICS_PORT
from cortex.peer.fleet.view import PeerState
from cortex.peer.gossip.receiving import Cause
from cortex.peer.observing.metric_families import FAMILIES
from cortex.peer.observing.tally import Ending, Failover
from cortex.peer.placement.leaving import LeaveReason

_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
_NAME = re.compile(r"\bcortex_[a-z_]+")
_SELECTED = re.compile(r"(cortex_[a-z_]+)\{([^}]*)\}")
_BY = re.compile(r"\bby \(([^)]*)\)")


@pytest.fixture
def dashboard(checkout: Path) -> Any:
    return json.loads((checkout / "contrib" / "grafana" / "cortex.json").read_text())


def targets(dashboard: Any) -> Iterator[Any]:
    for panel in dashboard["panels"]:
        yield from panel.get("targets", ())


def queries(dashboard: Any) -> list[str]:
    variables = (each.get("definition", "") for each in dashboard["templating"]["list"])
    return [*(target["expr"] for target in targets(dashboard)), *variables]


def samples() -> dict[str, set[str]]:
    """The labels of every series that a peer of a fleet tells, by its name."""
    found: dict[str, set[str]] = {}
    for family in FAMILIES:
        labels = {*family.labels, "peer"}
        if family.kind == "histogram":
            found |= {f"{family.name}{end}": labels | {"le"} for end in _OF_HISTOGRAMS}
        else:
            found[family.name] = labels
    return found


def test_the_dashboard_shows_every_metric_and_none_that_is_not_told(dashboard: Any) -> None:
    asked = {name for query in queries(dashboard) for name in _NAME.findall(query)}
    assert asked <= samples().keys()
    shown = {re.sub(r"_bucket$", "", name) for name in asked}
    assert shown == {family.name for family in FAMILIES}


def test_the_page_about_metrics_has_every_label_and_the_words_that_it_may_be(
    checkout: Path,
) -> None:
    page = (checkout / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = page.partition("The values of labels:")[2]
    labels = {label for family in FAMILIES for label in family.labels}
    endings = [word for part in get_args(Ending) for word in get_args(part)]
    words = (*endings, *get_args(PeerState), *get_args(Failover), *get_args(LeaveReason))
    for word in (*labels, *Cause, *words):
        assert f"`{word}`" in told


def test_the_dashboard_selects_and_sums_by_labels_that_are_there(dashboard: Any) -> None:
    known = samples()
    for query in queries(dashboard):
        for name, selector in _SELECTED.findall(query):
            assert set(re.findall(r"(\w+)!?=~?\"", selector)) <= known[name], query
        summed = {label for labels in _BY.findall(query) for label in labels.split(", ")}
        assert all(summed <= known[name] for name in _NAME.findall(query)), query


def test_a_legend_names_labels_that_its_query_keeps(dashboard: Any) -> None:
    for target in targets(dashboard):
        kept = {label for labels in _BY.findall(target["expr"]) for label in labels.split(", ")}
        if kept:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept - {"le"}


def test_whose_data_it_shows_is_the_viewers_choice(dashboard: Any) -> None:
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    shown = {each["datasource"]["uid"] for each in (*panels, *targets(dashboard))}
    assert shown == {"${datasource}"}


def test_no_two_panels_share_a_place_or_a_number(dashboard: Any) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24


def test_the_example_scrapes_peers_with_a_key_and_gateways_without(checkout: Path) -> None:
    path = checkout / "contrib" / "prometheus" / "prometheus.yml"
    _, peers, gateways = path.read_text().split("- job_name: ")
    assert f":{DEFAULT_PORT}" in peers and "credentials_file: " in peers
    assert f":{METRICS_PORT}" in gateways and "authorization" not in gateways


def test_alerts_ask_for_numbers_and_labels_that_a_peer_tells(checkout: Path) -> None:
    told, known = (checkout / "contrib" / "prometheus" / "alerts.yml").read_text(), samples()
    asked = set(_NAME.findall(told))
    assert len(asked) >= 3 and asked <= set(known)
    assert '{state="dead"}' in told and "dead" in get_args(PeerState)
    labels = set(re.findall(r"\$labels\.(\w+)", told)) - {"instance"}
    assert labels <= set().union(*(known[name] for name in asked))
    for name, selector in _SELECTED.findall(told):
        assert set(re.findall(r"(\w+)!?=~?\"", selector)) <= known[name]


def test_alerts_look_at_what_clients_met_and_at_processes_that_do_not_start(
    checkout: Path,
) -> None:
    told = (checkout / "contrib" / "prometheus" / "alerts.yml").read_text()
    # Not at replies: a stream has its status before it fails.
    statuses, codes = [
        selector
        for name, selector in _SELECTED.findall(told)
        if name == "cortex_request_errors_total"
    ]
    assert statuses == 'status=~"5.."'
    # A model whose files broke is nobody's request's fault, though its clients are told 400.
    blameless = set(codes.removeprefix('code=~"').removesuffix('"').split("|"))
    assert {"model_invalid", "insufficient_vram"} <= blameless
    assert blameless <= {error.code() for error in KINDS}
    assert "expr: cortex_process_failing > 0" in told


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
def test_promtool_takes_the_alerts(checkout: Path) -> None:
    path = checkout / "contrib" / "prometheus" / "alerts.yml"
    command = ["promtool", "check", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
def test_promtool_takes_the_example(checkout: Path) -> None:
    path = checkout / "contrib" / "prometheus" / "prometheus.yml"
    command = ["promtool", "check", "config", "--syntax-only", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
