"""Which peers a model belongs to: who decides about its loads, and where it is best loaded.

Pure. Every peer with the same view comes to the same order, so that most loads would agree even if
nobody asked anybody; a lease (`leases.py`) makes it certain.
"""

from __future__ import annotations

from collections.abc import Collection

from ..fleet.view import FleetView
from ..gossip.ids import ModelId, NodeId
from ..placement.plan import LoadWish
from ..placement.planning import Known, outcomes, preference, rendezvous


def arbiters(view: FleetView, model: ModelId) -> list[NodeId]:
    """Who decides who loads the model: the first of these that can be reached."""
    nodes = (peer.node for peer in view.peers if peer.state == "up")
    return sorted(nodes, key=lambda node: rendezvous(model, node), reverse=True)


def ranked(
    view: FleetView, model: ModelId, candidates: Collection[NodeId], known: Known
) -> tuple[NodeId, ...]:
    """The candidates, the best one to load the model first. None is left out: what is believed of
    a peer may be wrong, and it decides for itself.
    """
    wish = LoadWish(model)

    def rank(node: NodeId) -> tuple[object, ...]:
        peer = view.peer(node)
        if peer is None:
            return True, node
        found = outcomes(view, peer, wish, known)
        return False, min(preference(view, model, one) for one in found)

    return tuple(sorted(candidates, key=rank))
