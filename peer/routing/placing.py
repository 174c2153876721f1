"""Which peers a model belongs to: who decides about its loads, and where it is best loaded.

Pure. Every peer with the same view comes to the same order, so that most loads would agree even if
nobody asked anybody; a lease (`leases.py`) makes it certain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from ..fleet.view import FleetView, PeerView
from ..gossip.ids import ModelId, NodeId

_MIB = 1 << 20


def rendezvous(model: ModelId, node: NodeId) -> bytes:
    """How much a model belongs to a peer; the highest wins (highest random weight)."""
    return hashlib.blake2b(model + node, digest_size=8).digest()


def arbiters(view: FleetView, model: ModelId) -> list[NodeId]:
    """Who decides who loads the model: the first of these that can be reached."""
    nodes = (peer.node for peer in view.peers if peer.state == "up")
    return sorted(nodes, key=lambda node: rendezvous(model, node), reverse=True)


def ranked(view: FleetView, model: ModelId, candidates: Collection[NodeId]) -> tuple[NodeId, ...]:
    """The candidates, the best one to load the model first."""
    size_bytes = _size_bytes(view, model)

    def rank(node: NodeId) -> tuple[object, ...]:
        peer, weight = view.peer(node), rendezvous(model, node)
        # As 8 bytes sort from the lowest, the highest weight is told by what it lacks.
        tail = bytes(255 - byte for byte in weight)
        return (True, tail) if peer is None else (False, *_fitness(peer, model, size_bytes), tail)

    return tuple(sorted(candidates, key=rank))


def _fitness(peer: PeerView, model: ModelId, size_bytes: int) -> tuple[int, ...]:
    """The lower the better. Where it is on its way nothing else counts."""
    on_its_way = any(placed.model == model for placed in peer.placed)
    has_work = peer.load is not None and peer.load.num_inflight + peer.load.num_queued > 0
    return (
        not on_its_way,
        peer.state != "up",
        _is_too_small(peer, size_bytes),
        has_work,
        bool(peer.placed),  # it would have to go
        -_room_class(peer, size_bytes),
    )


def _is_too_small(peer: PeerView, size_bytes: int) -> bool:
    """True where not even an empty device would hold it. What is not known is no reason."""
    largest_bytes = max((d.memory_bytes for d in peer.devices), default=peer.memory_bytes)
    return 0 < largest_bytes < size_bytes


def _room_class(peer: PeerView, size_bytes: int) -> int:
    """How often it would fit beside what is there, in few steps: free memory changes all the time,
    and two views of it should give the same order.
    """
    if peer.load is None or not peer.load.free_mib:
        return 1
    times = max(peer.load.free_mib) * _MIB // max(size_bytes, 1)
    return min(times.bit_length(), 3)


def _size_bytes(view: FleetView, model: ModelId) -> int:
    stored = (stored for peer in view.peers for stored in peer.stored if stored.model == model)
    return max((each.size_bytes for each in stored), default=0)
