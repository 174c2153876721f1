"""Where a model is loaded that nobody has loaded, or too few have: one peer, whoever asks.

The first peer of the model's order that can be reached decides, out of a book in its memory. A
peer that is asked and knows an earlier one asks that one in its turn, so that askers with
different views meet there, and those who lost their way to it. The order is the same for all, so
that this ends. Where parts of a fleet do not see each other, each decides for itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile

from msgspec.structs import replace

from cortex.engine.errors import CortexError

from ..errors import NoPeer
from ..fleet.membership import Membership
from ..fleet.view import FleetView
from ..gossip.ids import ModelId, NodeId
from ..hop.hops import Hops
from ..hop.messages import LeaseAsk, Leased
from ..placement.planning import Known, ranked, rendezvous, soonest_s
from .lease_book import LeaseBook

# A question and its answer; whoever is asked may have to ask somebody in its turn. The last of
# those that are asked, each `_SILENT_S` after the one before, leaves the asker time to decide.
_ANSWER_S = 1.5
_FORWARD_S = 0.8
_MAX_TRIES = 3
# Whoever has not answered by then may not answer at all.
_SILENT_S = 0.5


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

    async def _first_word(
        self, arbiters: Sequence[NodeId], wish: LeaseAsk, limit_s: float
    ) -> Leased | None:
        """What the first says that answers, None where none does. The next one is asked beside one
        that is silent, whose word goes before its for as long as it may still come: else two would
        load the model.
        """
        untold, asking = [*arbiters], list[asyncio.Task[Leased | None]]()
        try:
            while untold or asking:
                if untold:
                    question = self._word_of(untold.pop(0), wish, limit_s)
                    asking.append(asyncio.create_task(question, name="ask for a lease"))
                rest_s = _SILENT_S if untold else None
                await asyncio.wait(asking[:1], timeout=rest_s)
                while asking and asking[0].done():
                    leased = asking.pop(0).result()
                    if leased is not None:
                        return leased
            return None
        finally:
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _word_of(self, arbiter: NodeId, wish: LeaseAsk, limit_s: float) -> Leased | None:
        try:
            async with asyncio.timeout(limit_s):
                return await self._hops.lease(arbiter, wish)
        except (CortexError, TimeoutError):
            return None  # nor is its word final that nobody can: it sees other peers than we do

    def in_order(self, model: ModelId, candidates: Collection[NodeId]) -> Sequence[NodeId]:
        """The best one to load it first, as this peer sees them."""
        return ranked(self._membership.view, model, candidates, self._known())

    def load_s(self, model: ModelId, candidates: Collection[NodeId]) -> float | None:
        """How soon one of them would have it, with what its victims' going costs; None where
        nothing is known of loads.
        """
        return soonest_s(self._membership.view, model, candidates, self._known())

    async def answer(self, wish: LeaseAsk) -> Leased:
        """Another peer's question. Raises NoPeer."""
        leased = await self._decided(wish, _FORWARD_S)
        return replace(leased, request_id=wish.request_id)  # who was asked in our turn echoes ours

    async def _decided(self, wish: LeaseAsk, limit_s: float) -> Leased:
        view = self._membership.view
        earlier = takewhile(lambda node: node != view.self_node, arbiters(view, wish.model))
        asked = [node for node in earlier if node not in wish.lost][:_MAX_TRIES]
        leased = await self._first_word(asked, wish, limit_s)
        if leased is not None:
            return leased
        # By our own view, not by the asker's order: one that sees others would choose another.
        order = self.in_order(wish.model, wish.candidates)
        view = self._membership.view
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
