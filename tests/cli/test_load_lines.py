"""What a peer says while its own models come and go, from view to view."""

from __future__ import annotations

from cortex.cli.load_lines import LoadLines
from cortex.peer.fleet.view import FleetView, PeerView, PlacedModel, PlacementState
from cortex.peer.gossip.ids import ModelId, NodeId

GIB = 1024**3


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def view(state: PlacementState | None, percent: int | None = None) -> FleetView:
    """Of a peer with one model in that state, or none."""
    model = PlacedModel(
        ModelId(b"m" * 8), "qwen", state or "ready", 3 * GIB, 4096, "exact mode", percent
    )
    me = PeerView(
        NodeId(b"a" * 8), 1, "atlas", "up", True, (), build="0.1", placed=(model,) if state else ()
    )
    return FleetView("", NodeId(b"a" * 8), peers=(me,))


def test_a_load_is_told_from_its_beginning_to_its_end() -> None:
    clock = Clock()
    loads = LoadLines(clock)
    assert list(loads.of(view(None))) == []
    assert list(loads.of(view("loading", 0))) == ["qwen  loading   3.0 GiB"]
    clock.now_s = 101.9
    assert list(loads.of(view("loading", 40))) == []
    clock.now_s = 102.0
    assert list(loads.of(view("loading", 50))) == ["qwen  loading   ████████░░░░░░░░ 50 %"]
    assert list(loads.of(view("loading", 51))) == []
    clock.now_s = 104.5
    ready = "qwen  ready   in 4.5 s   4,096 tokens of context, exact mode"
    assert list(loads.of(view("ready"))) == [ready]
    assert list(loads.of(view("ready"))) == []
    assert list(loads.of(view(None))) == ["qwen  unloaded"]


def test_a_load_that_leads_to_nothing_is_told() -> None:
    loads = LoadLines(Clock())
    assert list(loads.of(view("loading"))) == ["qwen  loading   3.0 GiB"]
    assert list(loads.of(view(None))) == ["qwen  was not loaded"]


def test_a_model_that_was_loaded_before_anybody_looked_is_ready() -> None:
    told = ["qwen  ready   4,096 tokens of context, exact mode"]
    assert list(LoadLines(Clock()).of(view("ready"))) == told
