"""Where a model is loaded for a request that nobody who has it takes: at the peer that is named by
whoever decides that. And whether a further copy is worth its load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence

from ..errors import NoPeer
from ..fleet.membership import Membership
from ..gossip.ids import ModelId, NodeId
from .breaker import Breakers
from .candidates import Busyness, Candidate, Wish, candidate_at, may_be_asked
from .catalogue import FleetModel, warmth_at
from .leases import Leases

# A lease is a word from one peer to another.
_LEASE_S = 3.0


class Loading:
    """`own_busyness` is this peer's own load."""

    def __init__(
        self,
        membership: Membership,
        leases: Leases,
        breakers: Breakers,
        own_busyness: Callable[[ModelId], Busyness],
        clock: Callable[[], float],
    ) -> None:
        self._membership = membership
        self._leases = leases
        self._breakers = breakers
        self._own_busyness = own_busyness
        self._clock = clock

    def is_sooner(
        self, model: FleetModel, found: Sequence[Candidate], wait_s: float | None
    ) -> bool:
        """Whether one of these would have loaded it before whoever has it is free. Where nobody
        knows how long loads take, one that is idle is believed to be quick; where nobody knows how
        long one waits for who is full, that is believed to be long.
        """
        load_s = self._leases.load_s(model.weights, [one.node for one in found])
        return wait_s is None or wait_s >= (load_s or 0.0)

    async def placed(self, model: FleetModel, wish: Wish, found: Sequence[Candidate]) -> Candidate:
        """Who is to load it, of those that were found, or whoever is loading it already."""
        if len(model.holders) == 1:
            return found[0]
        # Where it is too small it has to become idle first.
        idle = [one for one in found if not one.place_tokens or not one.busyness.num_live]
        by_node = {one.node: one for one in idle or found}
        lost = {node for node, _ in wish.excluded | wish.lost} - by_node.keys()
        passed_over = tuple(self._passed_over(model, wish, by_node.keys()))
        try:
            async with asyncio.timeout(_LEASE_S):
                node = await self._leases.place(
                    model.weights, tuple(by_node), holders=passed_over, lost=lost
                )
        except (TimeoutError, NoPeer):
            node = None
        named = None if node is None else by_node.get(node) or self._at(model, node, wish)
        # Who cannot ask chooses as all do who cannot.
        return named or by_node[self._leases.in_order(model.weights, tuple(by_node))[0]]

    def _passed_over(
        self, model: FleetModel, wish: Wish, offered: Collection[NodeId]
    ) -> Iterator[NodeId]:
        """Who is not to be named: it has the model and does not take the request now, or did not
        answer. Who is loading it, or is to, may be named, but where it has failed or refused.
        """
        now_s, weights = self._clock(), model.weights
        sound = self._breakers.usable((each.node for each in model.holders), weights, now_s)
        for node in (each.node for each in model.holders if each.node not in offered):
            peer = self._membership.view.peer(node)
            warmth = "cold" if peer is None else warmth_at(peer, weights)
            is_resting = peer is not None and wish.is_resting((node, peer.gen), now_s)
            if warmth == "warm" or is_resting or node not in sound:
                yield node

    def _at(self, model: FleetModel, node: NodeId, wish: Wish) -> Candidate | None:
        """A peer that we had passed over, and that loads the model as others see it."""
        holder, peer = model.holder(node), self._membership.view.peer(node)
        if holder is None or peer is None:
            return None
        own = self._own_busyness(model.weights)
        named = candidate_at(model.weights, holder, peer, own, frozenset(), wish.room)
        return named if may_be_asked(named, wish) else None
