"""Which models begin where, and what goes for them: the decisions of `placement/`, put to work.

Who is granted a model, and what becomes of those who wait for one that fails, is `residency.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..children.slot import ChildEnd
from ..placement.books import DeviceBooks, Need
from ..placement.habits import Habits
from ..placement.leaving import LeaveReason, leavers, next_expiry_s
from ..placement.turns import Begin, Claim, Refused, Turn, Waits, Wanted, turn, with_claim
from ..placement.wording import no_place
from ..types import ModelInfo
from .homeless import Homeless
from .idle_engines import IdleEngines
from .losses import Losses
from .moving import Engines, Mover
from .places import Extent, Place, PlaceBook, Ticket
from .wishes import WishQueue

# Whoever waits for a model lets others be served before it for so long at least.
_LEAST_PATIENCE_S = 1.0


class Placer:
    """`on_leave` is called with a place whose model goes, why, and for which other one. While what
    is known of the devices is older than `must_look` allows, no load is decided.
    """

    def __init__(
        self,
        engines: Engines,
        habits: Habits,
        places: PlaceBook,
        queue: WishQueue,
        mover: Mover,
        losses: Losses,
        on_leave: Callable[[Place, LeaveReason, str], None],
        must_look: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self.habits = habits
        self.pinned = set(habits.pinned)
        self._engines = engines
        self._places = places
        self._queue = queue
        self._mover = mover
        self._losses = losses
        self._on_leave = on_leave
        self._must_look = must_look
        self._clock = clock
        self._claims: dict[str, Claim] = {}
        self.homeless = Homeless()
        self._idle_engines = IdleEngines()

    @property
    def books(self) -> list[DeviceBooks]:
        """What is on the devices now."""
        return self._places.books(self._engines.devices, self.pinned, self._clock())

    def reform(self, habits: Habits) -> None:
        before, now = self.habits.pinned, habits.pinned
        self.pinned = (self.pinned - (before - now)) | (now - before)
        self.habits = habits

    def claimed(self, model_id: str) -> set[Place]:
        """What is kept from those who come after this model."""
        claim = self._claims.get(model_id)
        if claim is None:
            return set()
        there = self._places.on(claim.device)
        return {each for each in there if claim.is_whole or each.model.id in claim.victims}

    def may_go_elsewhere(self, place: Place, end: ChildEnd) -> bool:
        """Whether a load, of an engine that was never up, is for another device. Not where this one
        was avoided before: then no other would do.
        """
        is_last = end.is_wanted or self._losses.is_avoided(place.device, self._clock())
        num_devices = len(self.habits.devices(place.model.id, len(self._engines.devices)))
        return not end.may_return and not is_last and num_devices > 1

    def let_leavers_go(self) -> list[float | None]:
        """Those that were told to, once they are idle, and those that nobody uses; gives when the
        next ones go.
        """
        for place in self._places:
            if place.leaves is None or place.state != "ready":
                continue
            if place.leaves == "small":
                tickets = self._queue.those_for(place.model.id)
                movers = [each for each in tickets if self.misfit(place, each) is not None]
                place.leaves = "small" if movers else None
                for ticket in movers if not place.holders else ():
                    ticket.has_moved = True
            if place.leaves is not None and not place.holders and not self._serves_first(place):
                self.let_go(place, place.leaves)
        for device in self.books:
            for leaver in leavers(device, self.habits.idle_ttl_s):
                place = self._places.of(leaver.id)
                is_spared = leaver.reason == "idle" and self._queue.wants(leaver.id)
                if place is not None and not is_spared:
                    self.let_go(place, leaver.reason)
        return [next_expiry_s(device, self.habits.idle_ttl_s) for device in self.books]

    def _serves_first(self, place: Place) -> bool:
        """Whether somebody is granted a place that leaves."""
        waiting = (each for each in place.served_first if each in self._queue)
        return any(place.grants(each) and self.misfit(place, each) is None for each in waiting)

    def misfit(self, place: Place, ticket: Ticket) -> LeaveReason | None:
        """Why a model has to be loaded again for a request; None where it may be as it is."""
        if not place.serves(ticket.model, ticket.extent):
            return "changed"
        return "small" if self._would_be_larger(place, ticket) else None

    def _would_be_larger(self, place: Place, ticket: Ticket) -> bool:
        """Whether a place that is too small for a request is to be left for a larger one, which is
        certain to be had and is tried once: for its prompt as soon as the place is idle, for all of
        its answer only where it is idle now and that costs little. What somebody has loaded by its
        extent stays so.
        """
        room, context_tokens, rules = ticket.room, place.size.context_tokens, self.habits.rules
        is_of_use = context_tokens >= room.least_tokens
        if is_of_use and (place.holders or context_tokens >= room.whole_tokens):
            return False
        need = self._need_of(place.model, ticket.extent, [ticket])
        if need is None or ticket.has_moved or place.extent != Extent():
            return False
        match self._turn(place.model.id, Wanted(need), None, without=place):
            case Begin(fit=found):
                load_s, most_s = self._engines.reload_s(place.model), rules.min_residency_s
                is_cheap = load_s is not None and load_s + found.cost_s <= most_s
                least_tokens = max(room.least_tokens, context_tokens + 1)
                return found.size.context_tokens >= least_tokens and (is_cheap or not is_of_use)
            case _:
                return False

    def place_waiting(self) -> list[float | None]:
        """For each model that is nowhere, in order; gives when to look again."""
        before, self._claims = self._claims, {}
        waiting = self._queue.without_place().items()
        return [self._place(tickets, before.get(model_id)) for model_id, tickets in waiting]

    def _place(self, tickets: Sequence[Ticket], claim: Claim | None) -> float | None:
        model, extent = tickets[0].model, Extent()
        for ticket in tickets:
            extent = extent.joined(ticket.extent)
        need = self._need_of(model, extent, tickets)
        if need is None:
            self._mover.learn(model)
            return None
        if self._must_look():
            if claim is not None:
                self._claims[model.id] = claim
            return None
        waited_s = self._clock() - min(ticket.asked_s for ticket in tickets)
        wanted = Wanted(
            need,
            waited_s,
            needs_quiet=self._losses.is_last_load(model.id),
            is_forced=any(ticket.is_forced for ticket in tickets),
        )
        match self._turn(model.id, wanted, claim):
            case Begin() as begin:
                self._begin(model, extent, wanted, begin)
            case Claim() as claimed:
                self._claims[model.id] = claimed
            case Waits() as waits:
                return waits.wait_s
            case Refused() as refused:
                self._losses.load_over(model.id)
                self._queue.fail(model.id, no_place(wanted, refused, self._engines.devices))
        return None

    def bring_home(self, model: ModelInfo) -> float | None:
        """Load a model that lives here, where that disturbs nobody; gives when to look again. One
        that has failed takes what room is free: no guest goes for it once more.
        """
        if self._queue or model.id in self._places:
            return None
        rest_s = self.homeless.rest_s(model, self._clock())
        if rest_s > 0:
            return rest_s if math.isfinite(rest_s) else None
        need = self._engines.need_of(model, Extent())
        if need is None:
            self._mover.learn(model)
            return None
        has_failed = self.homeless.has_failed(model)
        # Rather smaller than not at all, where others that live here would have to go for more.
        for comfort_tokens in (need.comfort_tokens, 0):
            wanted = Wanted(
                replace(need, comfort_tokens=comfort_tokens),
                needs_quiet=self._losses.is_last_load(model.id),
            )
            match self._turn(model.id, wanted, None):
                case Begin(fit=found) as begin:
                    ids = {victim.id for victim in found.victims}
                    if not (ids if has_failed else ids.intersection(self.habits.at_home)):
                        return self._begin_at_home(model, wanted, begin)
                case Waits() as waits:
                    return waits.wait_s
                case Claim() | Refused():
                    return None
        return None

    def _begin_at_home(self, model: ModelInfo, wanted: Wanted, begin: Begin) -> float | None:
        """Guests stay until nobody has used them for as long as the load takes. Only for a load
        that would begin now are GPUs asked anew: room that has come to be free is told.
        """
        reload_s = self._engines.reload_s(model)
        least_s = self.habits.rules.min_residency_s if reload_s is None else reload_s
        wait_s = max((least_s - victim.idle_s for victim in begin.fit.victims), default=0.0)
        if wait_s > 0:
            return wait_s
        if not self._must_look():
            self._begin(model, Extent(), wanted, begin, "home")
        return None

    def renew_worn(self) -> None:
        """Start engines anew that have had so many models, or keep so much of them, that memory is
        lost to gaps; where nobody is served and nobody waits.
        """
        for device in self.books if not self._queue else ():
            places, num_cycles = self._places.on(device.index), self._mover.num_cycles[device.index]
            is_idle = all(place.state == "ready" and not place.holders for place in places)
            if not num_cycles or not is_idle or device.index in self._mover.ending:
                continue
            is_due = num_cycles >= self.habits.rules.defrag_after_cycles
            if is_due or self._engines.is_worn(device.index, device.reserved_bytes):
                for place in places:
                    place.state, place.loaded = "loading", None
                self._mover.renew(device.index, places)

    def rest_idle(self) -> None:
        """End engines that have had no model for as long as a model may be idle. What an engine is
        asked of a model meanwhile it answers first, which does not count as use.
        """
        empty = [
            device.index
            for device in (self._engines.devices if not self._queue else ())
            if self._engines.use(device.index) != "away" and not self._places.on(device.index)
        ]
        for device in self._idle_engines.due(empty, self._clock(), self.habits.engine_ttl_s):
            if self._engines.use(device) == "idle" and device not in self._mover.ending:
                self._mover.rest(device)

    def _need_of(self, model: ModelInfo, extent: Extent, tickets: Sequence[Ticket]) -> Need | None:
        need = self._engines.need_of(model, extent)
        return need and replace(
            need,
            least_tokens=max(ticket.room.least_tokens for ticket in tickets),
            comfort_tokens=max(
                need.comfort_tokens, *(ticket.room.whole_tokens for ticket in tickets)
            ),
        )

    def _turn(
        self, model_id: str, wanted: Wanted, claim: Claim | None, *, without: Place | None = None
    ) -> Turn:
        """As it is for one who comes after those whose claims are known; as if the place that it
        is to be `without` had gone.
        """
        rules, books = self.habits.rules, [_without(device, without) for device in self.books]
        for earlier in self._claims.values():
            books = [with_claim(device, earlier) for device in books]
        allowed = self.habits.devices(model_id, len(books))
        here, now_s = [each for each in books if each.index in allowed], self._clock()
        sound = [each for each in here if not self._losses.is_avoided(each.index, now_s)]

        def turn_on(books: Sequence[DeviceBooks]) -> Turn:
            return turn(
                wanted,
                books,
                rules,
                max_wait_s=max(rules.min_residency_s, _LEAST_PATIENCE_S),
                claim=claim,
                closed=self._closed(),
            )

        found = turn_on(sound) if sound else None
        return turn_on(here) if found is None or isinstance(found, Refused) else found

    def _closed(self) -> set[int]:
        """Where no load may begin: one is under way, or somebody is to be alone there."""
        switching = {place.device for place in self._places if place.state != "ready"}
        lonely = {
            place.device
            for place in self._places
            if any(self._losses.is_last_try(ticket.num_losses) for ticket in place.holders)
        }
        return (
            self._mover.ending
            | switching
            | lonely
            | {c.device for c in self._claims.values() if c.is_whole}
        )

    def _begin(
        self,
        model: ModelInfo,
        extent: Extent,
        wanted: Wanted,
        begin: Begin,
        reason: LeaveReason | None = None,
    ) -> None:
        fit = begin.fit
        victims = [each for one in fit.victims if (each := self._places.of(one.id)) is not None]
        free_bytes = self.books[begin.device].free_bytes
        over_bytes = max(0, fit.size.num_bytes - fit.freed_bytes - max(free_bytes, 0))
        place = Place(
            model, begin.device, fit.size, wanted.need, extent, fit.victims, victims,
            free_bytes, over_bytes, wanted.needs_quiet, is_home=reason == "home",
            began_s=self._clock(),
        )  # fmt: skip
        self._places.add(place)
        for victim in victims:
            self._mark(victim, reason or self.habits.rules.strategy, model.id)
        self._mover.load(place, victims)

    def let_go(self, place: Place, reason: LeaveReason) -> None:
        self._mark(place, reason)
        self._mover.unload(place)

    def _mark(self, place: Place, reason: LeaveReason, wanted: str = "") -> None:
        place.state = "unloading"
        self._on_leave(place, reason, wanted)


def _without(books: DeviceBooks, place: Place | None) -> DeviceBooks:
    if place is None:
        return books
    others = tuple(each for each in books.residents if each.id != place.model.id)
    return replace(books, residents=others)
