"""GET /models in a fleet of many peers: who has a model where, and what is asked for that."""

from __future__ import annotations

from cortex.peer.api.model_table import render_models
from cortex.peer.fleet.view import FleetView, PeerView, PlacedModel, StoredModel
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.models.names import ModelNames
from cortex.peer.routing.catalogue import unite

ONE, OTHER = ModelId(b"weights1"), ModelId(b"weights2")
STORED = tuple(StoredModel(model, f"m-{model[-1:]}", 9, 4096, (), 1) for model in (ONE, OTHER))


def peer(number: int, *ready: ModelId) -> PeerView:
    placed = tuple(PlacedModel(model, "m", "ready", 9, 4096) for model in ready)
    node, state = NodeId(b"node---%d" % number), "dead" if number == 4 else "up"
    return PeerView(node, 1, f"p{number}", state, number == 0, stored=STORED, placed=placed)


def test_each_peer_that_is_there_has_a_model_warm_or_cold_and_a_load_is_judged_once() -> None:
    asked: list[ModelId] = []

    def eta_s(model: ModelId, size_bytes: int) -> float:
        asked.append(model)
        return 7.0

    peers = (peer(0), peer(1, ONE), peer(2, ONE, OTHER), peer(3), peer(4, ONE))
    view = FleetView("tag", peers[0].node, peers=peers)
    models = unite((), view).models
    # This peer's own disk comes in apart from the view: here it has none.
    told = render_models(models, view, eta_s, ModelNames(), own_idle_s={}, now_s=0.0)
    where = [([p["peer"] for p in one["warm"]], one["cold"]) for one in told]
    cold = {"peer": "p3", "eta_s": 7.0}
    assert where == [(["p1", "p2"], [cold]), (["p2"], [{"peer": "p1", "eta_s": 7.0}, cold])]
    assert sorted(asked) == [ONE, OTHER]
