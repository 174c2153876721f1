"""Which models are on which devices, who is using them, and who waits for others.

A request for a model that is there goes ahead of those that wait for a load, so that two models in
turn do not push each other out with every request; once somebody has waited for long, what stands
in the way gets no new work, and makes room when it is idle. All who wait for a model share one load
and its failure. What goes for what is decided in `placement/`; how loading is done comes in.

When an engine dies, those who used it go back to the head of the queue and are granted another, so
often and no oftener. At its last try a request, or a load, gets a device for itself: one that kills
engines kills its own answer, and none of its neighbours'.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from cortex.engine.errors import CortexError
from cortex.engine.messages import Loaded
from cortex.engine.types import Stage

from .children import ChildEnd
from .failures import RecentFailures
from .losses import Losses
from .moving import Engines, Mover
from .placement.books import DeviceBooks, Need
from .placement.habits import Habits
from .placement.leaving import LeaveReason, leavers, next_expiry_s
from .placement.turns import Begin, Claim, Refused, Turn, Waits, Wanted, turn, with_claim
from .placement.wording import no_place
from .places import Extent, Place, PlaceBook, Ticket
from .types import ModelInfo
from .wishes import WishQueue

logger = logging.getLogger(__name__)

# Whoever waits for a model lets others be served before it for so long at least.
_LEAST_PATIENCE_S = 1.0
# A time that has come but for a rounding error has not come yet.
_LEAST_REST_S = 0.01


class Residency:
    """The book of a peer's devices. All of it happens on one event loop.

    `on_change` is called when anything here has changed; `on_leave` with a place whose model goes,
    why, and for which other one; `wake_after` with when `look` should be called next, if nothing
    happens until then.
    """

    def __init__(
        self,
        engines: Engines,
        habits: Habits,
        tasks: asyncio.TaskGroup,
        max_replays: int,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_leave: Callable[[Place, LeaveReason, str], None] = lambda place, reason, wanted: None,
        wake_after: Callable[[float | None], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.habits = habits
        self.pinned = set(habits.pinned)
        self.places = PlaceBook()
        self._queue = WishQueue(self.places)
        self._engines = engines
        self._mover = Mover(
            engines,
            self.places,
            tasks,
            is_wanted=lambda place: self._queue.wants(place.model.id),
            on_stage=self._tell,
            on_loaded=self._loaded,
            on_learned=self._learned,
            on_moved=self.look,
        )
        self._on_change = on_change
        self._on_leave = on_leave
        self._wake_after = wake_after
        self._clock = clock
        self._claims: dict[str, Claim] = {}
        self._losses = Losses(max_replays)
        self._failures = RecentFailures()
        self._is_looking, self._is_stale = False, False

    @property
    def wanted(self) -> Sequence[ModelInfo]:
        """The models of the wishes that wait, the next one first."""
        return [ticket.model for ticket in self._queue]

    @property
    def books(self) -> Sequence[DeviceBooks]:
        """What is on the devices now."""
        return self.places.books(self._engines.devices, self.pinned, self._clock())

    def need_of(self, model: ModelInfo, extent: Extent) -> Need | None:
        """None where nobody has looked yet."""
        return self._engines.need_of(model, extent)

    def ask(self, ticket: Ticket) -> None:
        """Queue a wish; it may be granted, or have failed, before this returns."""
        ticket.asked_s = self._clock()
        failure = self._failures.of(ticket.model, ticket.asked_s)
        if failure is not None:
            ticket.on_failed(failure)
            return
        self._queue.add(ticket)
        self.look()
        if ticket in self._queue:
            self._queue.tell_one(ticket)

    async def summon(
        self,
        model: ModelInfo,
        on_stage: Callable[[Stage], None],
        extent: Extent = Extent(),  # noqa: B008 - frozen
    ) -> Place:
        """Wish for a model until it is ready; it may go again at once.

        Raises what the load failed with.
        """
        outcome: asyncio.Future[Place | CortexError] = asyncio.get_running_loop().create_future()

        def settle(result: Place | CortexError) -> None:
            if not outcome.done():  # granted, and granted again before anybody looked
                outcome.set_result(result)

        ticket = Ticket(model, on_stage, settle, settle, extent)
        self.ask(ticket)
        try:
            result = await outcome
        finally:
            self.give_back(ticket)
        if isinstance(result, CortexError):
            raise result
        return result

    def give_back(self, ticket: Ticket) -> None:
        """End a wish, granted or not. Giving back twice does no harm."""
        for place in self.places:
            if ticket in place.holders:
                place.holders.remove(ticket)
                place.used_s = self._clock()
        self._queue.drop(ticket)
        self.look()

    def unload(self, model_id: str, *, is_forced: bool = False) -> Place | None:
        """Let a model go, once it is idle or at once; its place tells when it has gone."""
        place = self.places.of(model_id)
        if place is not None:
            place.leaves = "asked"
            if is_forced and place.state == "ready":
                self._let_go(place, "asked")
            self.look()
        return place

    def reform(self, habits: Habits) -> None:
        """From now on these hold. What was pinned or unpinned by hand stays so."""
        self.pinned = (self.pinned - self.habits.pinned) | habits.pinned
        self.habits = habits
        self.look()

    def pin(self, model_id: str, *, is_pinned: bool) -> None:
        (self.pinned.add if is_pinned else self.pinned.discard)(model_id)
        self.look()

    def lose(self, device: int, end: ChildEnd) -> None:
        """The engine process is gone, and what it held with it: begin again for all it had."""
        lost, holders = self.places.on(device), self.places.holders_on(device)
        for place in lost:
            self.places.forget(place)
        for ticket in holders:
            ticket.num_losses += 1
        doomed = [t for t in holders if not self._losses.may_return(end, t.num_losses)]
        self._queue.put_back(ticket for ticket in holders if ticket not in doomed)
        num_again = len(holders) - len(doomed)
        for place in lost:
            if place.state == "loading":
                doomed += self._lose_load(place, end)
        if holders or doomed:
            logger.warning("engine lost sent_again=%d failed=%d", num_again, len(doomed))
        for ticket in doomed:
            ticket.on_failed(self._losses.last_word(end))
        self.look()

    def look(self) -> None:
        """Do what can be done now: let go, grant, begin loads."""
        self._is_stale = True
        if self._is_looking:
            return  # whoever was told something has done something: the next round sees it
        self._is_looking = True
        waits_s: list[float | None] = []
        try:
            while self._is_stale:
                self._is_stale = False
                self._let_leavers_go()
                self._grant()
                waits_s = self._place_waiting()
        finally:
            self._is_looking = False
        waits_s += [next_expiry_s(each, self.habits.idle_ttl_s) for each in self.books]
        due_s = [max(wait_s, _LEAST_REST_S) for wait_s in waits_s if wait_s is not None]
        self._wake_after(min(due_s, default=None))
        self._on_change()

    def _lose_load(self, place: Place, end: ChildEnd) -> list[Ticket]:
        """Those who waited for it and do not wait any more."""
        num_losses = self._losses.load_lost(place.model.id)
        if self._losses.may_return(end, num_losses):
            return []
        if end.may_return:
            self._failures.add(place.model, self._losses.last_word(end), self._clock())
        self._losses.load_over(place.model.id)
        return self._queue.take(place.model.id)

    def _let_leavers_go(self) -> None:
        for place in self.places:
            if place.leaves is not None and place.state == "ready" and not place.holders:
                self._let_go(place, place.leaves)
        for device in self.books:
            for leaver in leavers(device, self.habits.idle_ttl_s):
                place = self.places.of(leaver.id)
                is_spared = leaver.reason == "idle" and self._queue.wants(leaver.id)
                if place is not None and not is_spared:
                    self._let_go(place, leaver.reason)

    def _grant(self) -> None:
        """In order; what somebody has claimed is kept from those behind."""
        kept: set[Place] = set()
        for ticket in self._queue:
            place = self.places.of(ticket.model.id)
            if place is None:
                kept |= self._claimed(ticket.model.id)
            elif place.state != "ready" or place.leaves is not None or place in kept:
                continue
            elif not place.serves(ticket.model, ticket.extent):
                place.leaves = "changed"
                self._is_stale = True
            elif self._may_join(ticket, place):
                self._queue.drop(ticket)
                place.holders.append(ticket)
                ticket.on_granted(place)
            else:
                kept.update(self.places.on(place.device))

    def _claimed(self, model_id: str) -> set[Place]:
        claim = self._claims.get(model_id)
        if claim is None:
            return set()
        there = self.places.on(claim.device)
        return {each for each in there if claim.is_whole or each.model.id in claim.victims}

    def _may_join(self, ticket: Ticket, place: Place) -> bool:
        """Whether the wish may be granted beside those that are."""
        there, holders = self.places.on(place.device), self.places.holders_on(place.device)
        if self._losses.is_last_try(ticket.num_losses):
            return not holders and all(each.state == "ready" for each in there)
        is_quiet = any(each.is_quiet and each.state == "loading" for each in there)
        return not is_quiet and not any(self._losses.is_last_try(t.num_losses) for t in holders)

    def _place_waiting(self) -> list[float | None]:
        """For each model that is nowhere, in order; gives when to look again."""
        before, self._claims = self._claims, {}
        waiting = self._queue.without_place().items()
        return [self._place(tickets, before.get(model_id)) for model_id, tickets in waiting]

    def _place(self, tickets: Sequence[Ticket], claim: Claim | None) -> float | None:
        model, extent = tickets[0].model, Extent()
        for ticket in tickets:
            extent = extent.joined(ticket.extent)
        need = self._engines.need_of(model, extent)
        if need is None:
            self._mover.learn(model)
            return None
        waited_s = self._clock() - min(ticket.asked_s for ticket in tickets)
        wanted = Wanted(need, waited_s, needs_quiet=self._losses.is_last_load(model.id))
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

    def _turn(self, model_id: str, wanted: Wanted, claim: Claim | None) -> Turn:
        """As it is for one who comes after those whose claims are known."""
        rules, books = self.habits.rules, self.books
        for earlier in self._claims.values():
            books = [with_claim(device, earlier) for device in books]
        allowed = self.habits.devices(model_id, len(books))
        return turn(
            wanted,
            [device for device in books if device.index in allowed],
            rules,
            max_wait_s=max(rules.min_residency_s, _LEAST_PATIENCE_S),
            claim=claim,
            closed=self._closed(),
        )

    def _closed(self) -> set[int]:
        """Where no load may begin: one is under way, or somebody is to be alone there."""
        switching = {place.device for place in self.places if place.state != "ready"}
        lonely = {
            place.device
            for place in self.places
            if any(self._losses.is_last_try(ticket.num_losses) for ticket in place.holders)
        }
        return switching | lonely | {c.device for c in self._claims.values() if c.is_whole}

    def _begin(self, model: ModelInfo, extent: Extent, wanted: Wanted, begin: Begin) -> None:
        fit = begin.fit
        victims = [each for one in fit.victims if (each := self.places.of(one.id)) is not None]
        place = Place(
            model, begin.device, fit.size, wanted.need, extent, fit.victims, victims,
            self.books[begin.device].free_bytes, wanted.needs_quiet,
        )  # fmt: skip
        self.places.add(place)
        for victim in victims:
            self._mark(victim, self.habits.rules.strategy, model.id)
        self._mover.load(place, victims)

    def _let_go(self, place: Place, reason: LeaveReason) -> None:
        self._mark(place, reason)
        self._mover.unload(place)

    def _mark(self, place: Place, reason: LeaveReason, wanted: str = "") -> None:
        place.state = "unloading"
        self._on_leave(place, reason, wanted)

    def _tell(self, place: Place, stage: Stage) -> None:
        self._queue.tell(place, stage)
        self._on_change()

    def _loaded(self, place: Place, outcome: Loaded | CortexError) -> None:
        self._losses.load_over(place.model.id)
        if isinstance(outcome, Loaded):
            place.loaded, place.state = outcome, "ready"
            place.ready_s = place.used_s = self._clock()
            return
        self.places.forget(place)
        logger.warning("load failed model=%s code=%s", place.model.id, outcome.code())
        self._give_up(place.model, outcome)

    def _learned(self, model: ModelInfo, failure: CortexError | None) -> None:
        if failure is not None:
            self._give_up(model, failure)

    def _give_up(self, model: ModelInfo, error: CortexError) -> None:
        self._failures.add(model, error, self._clock())
        self._queue.fail(model.id, error)
