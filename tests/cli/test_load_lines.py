"""How far a peer's own loads are, from view to view."""

from __future__ import annotations

from cortex.cli.load_lines import LoadLines
from cortex.peer.fleet.view import FleetView, PeerView, PlacedModel, PlacementState
from cortex.peer.gossip.ids import ModelId, NodeId

GIB = 1024**3


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def view(state: PlacementState, percent: int | None = None) -> FleetView:
    """Of a peer with one model in that state."""
    model = PlacedModel(ModelId(b"m" * 8), "qwen", state, 3 * GIB, 4096, "exact mode", percent)
    me = PeerView(NodeId(b"a" * 8), 1, "atlas", "up", True, (), build="0.1", placed=(model,))
    return FleetView("", NodeId(b"a" * 8), peers=(me,))


def test_a_load_says_how_far_it_is_every_two_seconds() -> None:
    clock = Clock()
    loads = LoadLines(clock)
    assert list(loads.of(view("loading", 0))) == []
    clock.now_s = 101.9
    assert list(loads.of(view("loading", 40))) == []
    clock.now_s = 102.0
    assert list(loads.of(view("loading", 50))) == ["loading qwen   ████████░░░░░░░░ 50 %"]
    assert list(loads.of(view("loading", 51))) == []
    clock.now_s = 104.5
    assert list(loads.of(view("ready"))) == []


def test_a_load_begins_anew_after_one_that_ended() -> None:
    clock = Clock()
    loads = LoadLines(clock)
    assert list(loads.of(view("loading", 50))) == []
    assert list(loads.of(view("ready"))) == []
    clock.now_s = 200.0
    assert list(loads.of(view("loading", 50))) == []
