"""The choice of a host, with all that it takes: the view, fresh answers, a lease for a cold model.

It holds a request for a while where nobody can take it now. What becomes of the request at its host
is not known here.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from cortex.engine.errors import Overloaded

from ..errors import NoPeer
from ..fleet.membership import Membership
from ..gossip.ids import ModelId
from .breaker import Breakers
from .candidates import (
    Busyness,
    Candidate,
    Life,
    Wish,
    by_room_and_build,
    candidates,
    in_order,
    pick,
    shortlist,
    warmest,
)
from .catalogue import FleetModel
from .freshness import PROBE_S, Freshness
from .leases import Leases
from .loading import Loading

_POLL_S = 0.1
# Before a peer that a connection broke to is tried again, where it is the only one.
_RECONNECT_S = 0.8
# A peer that a connection broke to: gossip says what is true of it within that time.
_DOUBT_S = 3.0
_LONGEST_WAIT_S = 60
# Of those that are busy.
_MOST_NAMED = 8


class Chooser:
    """`own_busyness` is this peer's own load, and `held_now` the model with those who hold it now:
    peers come and go while an answer is made.
    """

    def __init__(
        self,
        membership: Membership,
        leases: Leases,
        own_busyness: Callable[[ModelId], Busyness],
        held_now: Callable[[FleetModel], FleetModel],
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        self.breakers = Breakers()
        self._membership = membership
        self._own_busyness = own_busyness
        self._held_now = held_now
        self._rng = rng
        self._clock = clock
        self._freshness = Freshness(membership, clock)
        self._loading = Loading(membership, leases, self.breakers, own_busyness, clock)
        self._doubted: dict[Life, float] = {}

    async def choose(self, model: FleetModel, wish: Wish, since_s: float) -> Candidate:
        """Who is to be asked; it counts as sent to. `since_s` is since when nobody works on it.

        Raises Overloaded where all stay busy or are draining, and NoPeer where nobody is there.
        """
        while True:
            model = self._held_now(model)
            found = self._found(model, wish)
            is_last_hope = all(one.life in wish.lost for one in found)
            now_s = self._clock()
            if is_last_hope and now_s - since_s >= wish.hope_s:
                raise self.nobody(model)
            if found and (not is_last_hope or now_s - since_s >= _RECONNECT_S):
                chosen = await self._choose(model, wish, found)
                is_late = self._clock() - since_s >= wish.patience_s
                # Who goes on refusing it is not asked for ever.
                if chosen is not None and not (is_late and chosen.life in wish.busy_until_s):
                    self._freshness.sent(chosen.node)
                    return chosen
                if is_late:
                    raise await self.overloaded(model, wish)
            await asyncio.sleep(_POLL_S)

    async def overloaded(self, model: FleetModel, wish: Wish) -> Overloaded:
        """What a request is told that has waited long enough: when there may be room, as those say
        who are full.
        """
        found = self._found(model, wish)
        nodes = [one.node for one in found[:_MOST_NAMED]]
        answers = await self._membership.ask_loads(nodes, model.weights, PROBE_S)
        waits_s = [answer.wait_ms / 1000 for answer in answers.values() if answer.wait_ms]
        return Overloaded(
            f"every peer that holds '{model.id}' is busy:"
            f" {', '.join(one.name for one in found[:_MOST_NAMED])}",
            "try again in a moment",
            retry_after_s=shown_wait_s(min(waits_s)) if waits_s else None,
        )

    def nobody(self, model: FleetModel) -> Overloaded | NoPeer:
        """What a request is told where none of those that hold the model may be asked."""
        view = self._membership.view
        known = (view.peer(holder.node) for holder in model.holders)
        here = [peer for peer in known if peer is not None and not peer.is_gone]
        if here and all(peer.state == "draining" for peer in here):
            names = ", ".join(peer.name for peer in here[:_MOST_NAMED])
            return Overloaded(
                f"every peer that holds '{model.id}' is draining: {names}", "try again in a moment"
            )
        return NoPeer(f"no peer that holds '{model.id}' can be asked now", "try again in a moment")

    def moves_elsewhere(self, model: FleetModel, wish: Wish, host: Life) -> bool:
        """Whether another peer has the model in its engine, and room, as far as is known. It counts
        as sent to: of many who leave one engine at once, the next sees it filling.
        """
        ready = [
            one
            for one in self._found(self._held_now(model), wish)
            if one.warmth == "warm" and one.busyness.verdict == "accept" and not one.is_doubtful
            if one.life != host
        ]
        if ready:
            self._freshness.sent(in_order(wish, ready)[0].node)
        return bool(ready)

    def holders(self, model: FleetModel, wish: Wish) -> list[Candidate]:
        """All who may be asked for what needs no engine, this peer first."""
        found = self._found(model, wish)
        return sorted(in_order(wish, found), key=lambda one: not one.is_self) if found else []

    def doubt(self, life: Life) -> None:
        """A connection to it broke: others go first for a while."""
        self._doubted[life] = self._clock() + _DOUBT_S

    def _found(self, model: FleetModel, wish: Wish) -> list[Candidate]:
        now_s = self._clock()
        self._doubted = {life: s for life, s in self._doubted.items() if s > now_s}
        view, own = self._membership.view, self._own_busyness(model.weights)
        found = candidates(model, view, wish, own, frozenset(self._doubted))
        usable = self.breakers.usable((one.node for one in found), model.weights, now_s)
        return [self._corrected(one, wish, now_s) for one in found if one.node in usable]

    def _corrected(self, one: Candidate, wish: Wish, now_s: float) -> Candidate:
        if wish.is_resting(one.life, now_s):
            return replace(one, busyness=replace(one.busyness, verdict="busy"))
        return self._freshness.corrected(one, self._membership.view.peer(one.node))

    async def _choose(
        self, model: FleetModel, wish: Wish, found: list[Candidate]
    ) -> Candidate | None:
        """None where nobody takes it now."""
        free = [one for one in found if one.busyness.verdict != "busy"]
        cold = [one for one in free if one.warmth == "cold"]
        # Where all who have it are busy, one that is getting it may be not.
        warmth, those = warmest([one for one in free if one.warmth != "cold"] or found)
        if warmth == "cold":
            return await self._loading.placed(model, wish, cold) if cold else None
        best, busyness = await self._best_by_groups(model, wish, those)
        if busyness.verdict == "accept":
            return best
        idle = [one for one in cold if one.busyness.num_live == 0]
        if warmth == "warm" and idle:
            return await self._rather_loaded(model, wish, those, idle)
        return best if busyness.verdict == "queue" else None

    async def _best_by_groups(
        self, model: FleetModel, wish: Wish, those: Sequence[Candidate]
    ) -> tuple[Candidate, Busyness]:
        *better, everybody = by_room_and_build(wish, those)
        for group in better:
            best, busyness = await self._best(model, wish, group)
            if busyness.verdict == "accept":
                return best, busyness
        return await self._best(model, wish, everybody)

    async def _best(
        self, model: FleetModel, wish: Wish, those: Sequence[Candidate]
    ) -> tuple[Candidate, Busyness]:
        free = [one for one in those if one.busyness.verdict != "busy"]
        order = in_order(wish, free or those)
        first = order[0]
        if not free or len(order) == 1 or (first.is_self and first.busyness.verdict == "accept"):
            return first, first.busyness
        asked = shortlist(order, self._rng)
        answers = await self._freshness.ask(model.weights, asked)
        return pick(asked, answers)

    async def _rather_loaded(
        self,
        model: FleetModel,
        wish: Wish,
        those: Sequence[Candidate],
        idle: Sequence[Candidate],
    ) -> Candidate | None:
        """A further copy of what all are too busy with who have it, by their own word: where they
        refuse, or would let the request wait for longer than the load takes.
        """
        asked = [one for one in in_order(wish, those) if one.busyness.verdict != "busy"]
        answers = await self._freshness.ask(model.weights, asked[:_MOST_NAMED], asks_itself=True)
        heard = [(one, answers.get(one.node, one.busyness)) for one in asked]
        if answers:  # who is silent may be too busy to say so
            heard = [(one, busyness) for one, busyness in heard if one.node in answers]
        taking = [(one, busyness) for one, busyness in heard if busyness.verdict != "busy"]
        if taking:
            best, busyness = min(taking, key=lambda pair: pair[1].rank)
            waits_s = (each.wait_s for each in answers.values() if each.verdict != "busy")
            wait_s = min((each for each in waits_s if each is not None), default=None)
            is_free = busyness.verdict == "accept"
            if is_free or not self._loading.is_sooner(model, idle, wait_s):
                return best
        return await self._loading.placed(model, wish, idle)


def shown_wait_s(wait_s: float) -> int:
    return min(max(math.ceil(wait_s), 1), _LONGEST_WAIT_S)
