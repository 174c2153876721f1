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
from collections.abc import Callable, Sequence, Set

from cortex.engine.errors import CortexError, EngineFailed, LoadCancelled
from cortex.engine.messages import Loaded
from cortex.engine.stream import Stage

from ..children.slot import ChildEnd
from ..lasting_clock import lasting_s
from ..placement.books import DeviceBooks
from ..placement.habits import Habits
from ..placement.leaving import LeaveReason
from ..types import ModelInfo
from .abandoning import Abandoning, is_wanted
from .losses import Losses, RecentFailures
from .moving import Engines, Mover
from .placer import Placer
from .places import Extent, Place, PlaceBook, Ticket
from .unloading import Unloading
from .wishes import WishQueue

logger = logging.getLogger(__name__)

# A time that has come but for a rounding error has not come yet.
_LEAST_REST_S = 0.01


class Residency:
    """The book of a peer's devices. All of it happens on one event loop.

    The models `at_home` come back when their place is free, or nobody uses their guests any more.
    `on_change` is called when anything here has changed; `on_leave` with a place whose model goes,
    why, and for which other one; `wake_after` with when `look` should be called next, if nothing
    happens until then. No load is decided while the devices `must_look`, which call `look` after
    it. By the `clock` the time that the machine sleeps counts too, of all that is timed here: how
    long a model is idle, a load lasts, somebody waits, or a device is avoided.
    """

    def __init__(
        self,
        engines: Engines,
        habits: Habits,
        tasks: asyncio.TaskGroup,
        max_replays: int,
        *,
        at_home: Callable[[], Sequence[ModelInfo]] = tuple,
        on_change: Callable[[], None] = lambda: None,
        on_leave: Callable[[Place, LeaveReason, str], None] = lambda place, reason, wanted: None,
        wake_after: Callable[[float | None], None] = lambda seconds: None,
        must_look: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = lasting_s,
    ) -> None:
        self.places = PlaceBook()
        self._queue = WishQueue(self.places)
        self._mover = Mover(
            engines,
            self.places,
            tasks,
            is_wanted=lambda place: is_wanted(place, self._queue),
            on_stage=self._tell,
            on_loaded=self._loaded,
            on_learned=self._learned,
            on_moved=self.look,
        )
        self._abandoning = Abandoning(self.places, self._queue, self._mover, clock)
        self._unloading = Unloading(self.places, self._queue)
        self._losses = Losses(max_replays)
        self._placer = Placer(
            engines, habits, self.places, self._queue, self._mover, self._losses, on_leave,
            must_look, clock,
        )  # fmt: skip
        self._at_home = at_home
        self._on_change = on_change
        self._wake_after = wake_after
        self._clock = clock
        self._failures = RecentFailures()
        self._is_looking = self._is_stale = False

    @property
    def wanted(self) -> Sequence[ModelInfo]:
        """The models of the wishes that wait, the next one first."""
        return [ticket.model for ticket in self._queue]

    @property
    def books(self) -> Sequence[DeviceBooks]:
        """What is on the devices now."""
        return self._placer.books

    @property
    def habits(self) -> Habits:
        return self._placer.habits

    @property
    def pinned(self) -> Set[str]:
        return self._placer.pinned

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
        *,
        is_forced: bool = False,
    ) -> Place:
        """Wish for a model until it is ready; it may go at once. Raises what its load does."""
        outcome: asyncio.Future[Place | CortexError] = asyncio.get_running_loop().create_future()

        def settle(result: Place | CortexError) -> None:
            if not outcome.done():  # granted, and granted again before anybody looked
                outcome.set_result(result)

        ticket = Ticket(model, on_stage, settle, settle, extent, is_forced=is_forced)
        self.ask(ticket)
        try:
            result = await outcome
        except asyncio.CancelledError:
            self._abandoning.call_off(ticket)
            raise
        finally:
            self.give_back(ticket)
        if isinstance(result, CortexError):
            raise result
        return result

    def keep(self, model: ModelInfo, extent: Extent) -> None:
        """Where it was told to go, and has not begun to, it stays."""
        place = self.places.of(model.id)
        if place is not None and place.serves(model, extent):
            self._unloading.stay(place)
            self.look()

    def give_back(self, ticket: Ticket) -> None:
        """End a wish, granted or not. Giving back twice does no harm."""
        for place in self.places:
            if ticket in place.holders:
                place.holders.remove(ticket)
                place.used_s = self._clock()
            place.served_first.discard(ticket)
        self._queue.drop(ticket)
        self.look()

    async def unload(self, model_id: str, *, is_forced: bool = False) -> bool:
        """Let a model go, once it is idle or at once, and tell whether it has gone: one that `keep`
        comes for in time stays. A load that nobody waits for ends at once. Who waits no longer
        takes that back.
        """
        place = self.places.of(model_id)
        if place is None:
            return True
        order = self._unloading.order(place, is_forced=is_forced)
        if is_forced and place.state == "ready":
            self._placer.let_go(place, "asked")
        if place.state == "loading" and (is_forced or not self._queue.wants(model_id)):
            self._abandoning.give_up(place)
        self.look()
        try:
            return await order
        except asyncio.CancelledError:
            self._unloading.take_back(order)
            self.look()
            raise

    def reform(self, habits: Habits) -> None:
        """From now on these hold. What was pinned or unpinned by hand stays so."""
        self._placer.reform(habits)
        self.look()

    def pin(self, model_id: str, *, is_pinned: bool) -> None:
        pinned = self._placer.pinned
        (pinned.add if is_pinned else pinned.discard)(model_id)
        self.look()

    def lose(self, device: int, end: ChildEnd) -> None:
        """The engine process is gone, and what it held with it: begin again for all it had."""
        if device in self._mover.ending:
            return  # as it was told to
        self._mover.num_cycles[device] = 0
        lost, holders = self.places.on(device), self.places.holders_on(device)
        spared = [place for place in lost if self._placer.may_go_elsewhere(place, end)]
        was_bad = not end.may_return or any(place.state == "loading" for place in lost)
        if was_bad and not end.is_wanted:
            self._losses.device_failed(device, self._clock())
        for place in lost:
            self.places.forget(place)
        for ticket in holders:
            ticket.num_losses += 1
        doomed = [t for t in holders if not self._losses.may_return(end, t.num_losses)]
        again = [ticket for ticket in holders if ticket not in doomed]
        self._queue.put_back(again)
        for place in lost:
            if place.state == "loading" and place not in spared:
                doomed += self._lose_load(place, end)
        if holders or doomed:
            logger.warning("engine lost sent_again=%d failed=%d", len(again), len(doomed))
        for ticket in doomed:
            ticket.on_failed(self._losses.last_word(end))
        self.look()

    def is_avoided(self, device: int) -> bool:
        """Models go there only where no other device will do: it ended one engine after another."""
        return self._losses.is_avoided(device, self._clock())

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
                self._abandoning.look(self.habits.cold_wait_s)
                waits_s = self._placer.let_leavers_go()
                self._grant()
                waits_s += self._placer.place_waiting()
                waits_s += [self._placer.bring_home(model) for model in self._at_home()]
                self._placer.renew_worn()
                self._placer.rest_idle()
        finally:
            self._is_looking = False
        due_s = [max(wait_s, _LEAST_REST_S) for wait_s in waits_s if wait_s is not None]
        self._wake_after(min(due_s, default=None))
        self._on_change()

    def _lose_load(self, place: Place, end: ChildEnd) -> list[Ticket]:
        """Those who waited for it and do not wait any more."""
        num_losses = self._losses.load_lost(place.model.id)
        if self._losses.may_return(end, num_losses):
            return []
        if end.may_return:
            error, now_s = self._losses.last_word(end), self._clock()
            self._failures.add(place.model, error, now_s)
            self._placer.homeless.failed(place.model, error, now_s)
        self._losses.load_over(place.model.id)
        return self._queue.take(place.model.id)

    def _grant(self) -> None:
        """In order; what somebody has claimed is kept from those behind."""
        kept: set[Place] = set()
        for ticket in self._queue:
            place = self.places.of(ticket.model.id)
            if place is None:
                kept |= self._placer.claimed(ticket.model.id)
            elif place.state != "ready" or not place.grants(ticket) or place in kept:
                continue
            elif (misfit := self._placer.misfit(place, ticket)) is not None:
                if place.leaves is None:
                    place.leaves, self._is_stale = misfit, True
            elif self._may_join(ticket, place):
                self._queue.drop(ticket)
                place.served_first.discard(ticket)
                place.holders.append(ticket)
                ticket.granted_s = self._clock()
                ticket.on_granted(place)
            else:
                kept.update(self.places.on(place.device))

    def _may_join(self, ticket: Ticket, place: Place) -> bool:
        """Whether the wish may be granted beside those that are."""
        there, holders = self.places.on(place.device), self.places.holders_on(place.device)
        if self._losses.is_last_try(ticket.num_losses):
            return not holders and all(each.state == "ready" for each in there)
        is_quiet = any(each.is_quiet and each.state == "loading" for each in there)
        return not is_quiet and not any(self._losses.is_last_try(t.num_losses) for t in holders)

    def _tell(self, place: Place, stage: Stage) -> None:
        self._queue.tell(place, stage)
        self._on_change()

    def _loaded(self, place: Place, outcome: Loaded | CortexError) -> None:
        self._losses.load_over(place.model.id)
        if isinstance(outcome, Loaded):
            self._losses.device_served(place.device)
            self._unloading.loaded(place)
            place.loaded, place.state = outcome, "ready"
            self._placer.homeless.succeeded(place.model.id)
            if not place.ready_s:  # else it had been there before its engine was started anew
                place.ready_s = place.used_s = self._clock()
            return
        self.places.forget(place)
        if isinstance(outcome, LoadCancelled):
            return  # whoever has come back meanwhile waits for a place: it is loaded afresh
        logger.warning("load failed model=%s code=%s", place.model.id, outcome.code())
        self._fail(place.model, outcome)

    def _learned(self, model: ModelInfo, failure: CortexError | None) -> None:
        if failure is None:
            self._placer.homeless.succeeded(model.id)
        elif isinstance(failure, EngineFailed):
            # It says nothing of the model, and the next one may find an engine that runs.
            self._placer.homeless.failed(model, failure, self._clock())
            self._queue.fail(model.id, failure)
        else:
            self._fail(model, failure)

    def _fail(self, model: ModelInfo, error: CortexError) -> None:
        self._failures.add(model, error, self._clock())
        self._placer.homeless.failed(model, error, self._clock())
        self._queue.fail(model.id, error)
