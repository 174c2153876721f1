"""Where a model is loaded that nobody has loaded, or too few have: one peer, whoever asks.

The first peer of the model's order that can be reached decides, out of a book in its memory. A
peer that is asked and knows an earlier one asks that one in its turn, so that askers with
different views meet there, and those who lost their way to it. The order is the same for all, so
that this ends. Where parts of a fleet do not see each other, each decides for itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection

from msgspec.structs import replace

from cortex.engine.errors import CortexError

from ..errors import NoPeer
from ..fleet.membership import Membership
from ..fleet.view import FleetView
from ..gossip.ids import ModelId, NodeId
from ..hop.hops import Hops
from ..hop.messages import LeaseAsk, Leased
from ..placement.planning import Known, ranked, rendezvous
from .lease_book import LeaseBook

# A question and its answer; whoever is asked may have to ask somebody in its turn.
_ANSWER_S = 2.0
_FORWARD_S = 0.8
_MAX_TRIES = 3


class Leases:
    """Both sides of it: `place` for requests of this peer, `answer` for other peers'."""

    def __init__(
        self,
        membership: Membership,
        hops: Hops,
        known: Callable[[], Known],
        clock: Callable[[], float],
    ) -> None:
        self._membership = membership
        self._hops = hops
        self._known = known
        self._clock = clock
        self._book = LeaseBook()

    async def place(
        self,
        model: ModelId,
        candidates: Collection[NodeId],
        *,
        holders: Collection[NodeId] = (),
        lost: Collection[NodeId] = (),
    ) -> NodeId:
        """The peer that loads the model, or is loading it: to be sent the request.

        `candidates` have it on disk. With `holders` another one is wanted beside these; `lost` are
        those that this request has failed with. The answer may be a peer that is not up in the
        own view, where whoever decided sees it loading.
        Raises NoPeer where no candidate is left.
        """
        wish = LeaseAsk(secrets.token_hex(8), model, tuple(candidates), tuple(holders), tuple(lost))
        for _ in range(_MAX_TRIES):
            holder = (await self._decided(wish, _ANSWER_S)).holder
            if holder not in wish.lost and self._membership.view.peer(holder) is not None:
                return holder
            wish = replace(wish, lost=(*wish.lost, holder))
        raise _no_peer(model)

    async def answer(self, wish: LeaseAsk) -> Leased:
        """Another peer's question. Raises NoPeer."""
        leased = await self._decided(wish, _FORWARD_S)
        return replace(leased, request_id=wish.request_id)  # who was asked in our turn echoes ours

    async def _decided(self, wish: LeaseAsk, limit_s: float) -> Leased:
        num_tries = 0
        for arbiter in arbiters(self._membership.view, wish.model):
            if arbiter == self._membership.view.self_node or num_tries == _MAX_TRIES:
                break
            if arbiter in wish.lost:
                continue
            num_tries += 1
            try:
                async with asyncio.timeout(limit_s):
                    return await self._hops.lease(arbiter, wish)
            except (CortexError, TimeoutError):
                continue  # nor is its word final that nobody can: it sees other peers than we do
        view = self._membership.view
        # By our own view, not by the asker's order: one that sees others would choose another.
        order = ranked(view, wish.model, wish.candidates, self._known())
        leased = self._book.grant(replace(wish, candidates=order), view, self._clock())
        if leased is None:
            raise _no_peer(wish.model)
        return leased


def arbiters(view: FleetView, model: ModelId) -> list[NodeId]:
    """Who decides who loads the model: the first of these that can be reached."""
    nodes = (peer.node for peer in view.peers if peer.state == "up")
    return sorted(nodes, key=lambda node: rendezvous(model, node), reverse=True)


def _no_peer(model: ModelId) -> NoPeer:
    return NoPeer(
        f"no peer that can be reached loads the model {model.hex()}",
        "see which peers have it with cortex status, and try again",
    )
