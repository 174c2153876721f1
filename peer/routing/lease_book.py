"""Who loads which model, as far as this peer has been asked to decide it.

Pure: the view and the time come in. A lease is kept alive by its holder alone: by being seen to
load the model, or to have it. A book is not kept when its peer ends: the next arbiter finds in its
own view who is loading, and begins its book with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..fleet.view import FleetView, PeerView
from ..gossip.ids import ModelId, NodeId
from ..hop.messages import LeaseAsk, Leased

# So long is waited for a holder to begin: a request must reach it, and its word come back.
_TTL_S = 30.0
_MAX_MODELS = 1024


@dataclass(slots=True)
class _Lease:
    """`is_seen` once the holder has been seen to load."""

    holder: NodeId
    expires_s: float
    is_seen: bool = False


class LeaseBook:
    def __init__(self) -> None:
        self._leases: dict[ModelId, list[_Lease]] = {}

    def __len__(self) -> int:
        """How many models are spoken of."""
        return len(self._leases)

    def grant(self, wish: LeaseAsk, view: FleetView, now_s: float) -> Leased | None:
        """Who loads it for this wish; None where no candidate is left.

        All who ask while somebody loads are sent there. Only for who has lost that one, or wants
        another one beside it, is there a second lease.
        """
        leases = self._reviewed(wish, view, now_s)
        passed_over = {*wish.holders, *wish.lost}
        lease = next((each for each in leases if each.holder not in passed_over), None)
        if lease is None:
            passed_over |= {each.holder for each in leases}
            holder = _first(wish.candidates, passed_over, view)
            if holder is None:
                return None
            lease = _Lease(holder, now_s + _TTL_S)
            leases.append(lease)
        return Leased(wish.request_id, lease.holder)

    def _reviewed(self, wish: LeaseAsk, view: FleetView, now_s: float) -> list[_Lease]:
        """The leases of the model that still hold, and one for everybody seen to load it."""
        loading = {peer.node for peer in view.peers if _is_bound_for(peer, wish.model)}
        kept = self._leases.pop(wish.model, [])
        for lease in kept:
            if lease.holder in loading:
                lease.is_seen, lease.expires_s = True, now_s + _TTL_S
        leases = [lease for lease in kept if _holds(lease, wish, view, loading, now_s)]
        known = {lease.holder for lease in leases}
        expires_s = now_s + _TTL_S
        leases += [_Lease(node, expires_s, is_seen=True) for node in sorted(loading - known)]
        self._forget_expired(now_s)
        self._leases[wish.model] = leases
        return leases

    def _forget_expired(self, now_s: float) -> None:
        """Models that nobody has asked about for a while: what is true of them is in the view."""
        for model, leases in list(self._leases.items()):
            if all(lease.expires_s <= now_s for lease in leases):
                del self._leases[model]
        while len(self._leases) >= _MAX_MODELS:
            del self._leases[next(iter(self._leases))]


def _is_bound_for(peer: PeerView, model: ModelId) -> bool:
    """Whether the model is there or on its way, at a peer that takes requests."""
    is_there = any(p.model == model and p.state != "unloading" for p in peer.placed)
    return peer.takes_requests and is_there


def _holds(
    lease: _Lease, wish: LeaseAsk, view: FleetView, loading: set[NodeId], now_s: float
) -> bool:
    holder = view.peer(lease.holder)
    if holder is not None and not holder.takes_requests:
        return False
    if lease.holder in wish.lost:
        # One asker's word alone ends no load that we see going on.
        return lease.holder in loading and holder is not None and holder.state == "up"
    if lease.holder in loading:
        return True
    return not lease.is_seen and now_s < lease.expires_s


def _first(
    candidates: tuple[NodeId, ...], passed_over: set[NodeId], view: FleetView
) -> NodeId | None:
    taking = {peer.node for peer in view.peers if peer.takes_requests} - passed_over
    return next((node for node in candidates if node in taking), None)
