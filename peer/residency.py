"""Which model is in the engine, who is using it, and who waits for another.

First come, first served: a request for the resident model goes ahead unless somebody before it
waits for a different one, so that no model starves another. The next model is loaded when nobody
uses the last one; all who wait for it share that one load and its failure. How loading is done
comes in as two functions.

A load that failed is not tried again for a while: whoever comes in that time is told the same
cause. A load belongs to nobody: those who wished for it may leave, and it goes on.

When the engine dies, those who used it go back to the head of the queue and are granted it again,
so often and no oftener. Whoever would not be granted it once more after another death gets it for
itself: so a request that kills engines kills its own answer, and never one of its neighbours'.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from cortex.engine.errors import CortexError
from cortex.engine.types import Stage

from .children import ChildEnd
from .errors import AttemptsExhausted
from .types import ModelInfo

logger = logging.getLogger(__name__)

LoadModel = Callable[[ModelInfo, Callable[[Stage], None]], Awaitable[None]]
UnloadModel = Callable[[str], Awaitable[None]]

_FAILURE_KEPT_S = 15.0


@dataclass(slots=True, eq=False)
class Ticket:
    """One wish for one model, from its asking until it is given back or fails.

    `on_granted` is called for every engine that the wish is granted, one after the other, and
    `on_failed` once, for good. `num_losses` counts the engines that died under it, here or where it
    came from.
    """

    model: ModelInfo
    on_stage: Callable[[Stage], None]
    on_granted: Callable[[], None]
    on_failed: Callable[[CortexError], None]
    num_losses: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a load failed with, and until when that is remembered."""

    model: ModelInfo
    error: CortexError
    until_s: float


class Residency:
    """The book of one engine. All of it happens on one event loop.

    A request, and a load, is tried again at most `max_replays` times after an engine's death.
    `on_change` is called when anything here has changed.
    """

    def __init__(
        self,
        load: LoadModel,
        unload: UnloadModel,
        tasks: asyncio.TaskGroup,
        max_replays: int,
        *,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._unload = unload
        self._tasks = tasks
        self._max_replays = max_replays
        self._on_change = on_change
        self._clock = clock
        self._resident: ModelInfo | None = None
        # In the order in which they were granted.
        self._holders: list[Ticket] = []
        self._queue: list[Ticket] = []
        self._loading: ModelInfo | None = None
        self._last_stage: Stage | None = None
        self._num_deaths = 0
        # Engines that died in a row of the load that is at the head of the queue.
        self._num_failed_loads = 0
        # What loads failed with of late, by the model's id.
        self._failures: dict[str, _Failure] = {}

    @property
    def resident_id(self) -> str | None:
        return None if self._resident is None else self._resident.id

    @property
    def loading_id(self) -> str | None:
        return None if self._loading is None else self._loading.id

    @property
    def resident(self) -> ModelInfo | None:
        return self._resident

    @property
    def loading(self) -> ModelInfo | None:
        return self._loading

    @property
    def last_stage(self) -> Stage | None:
        """How far the load under way has come."""
        return self._last_stage

    @property
    def num_granted(self) -> int:
        """Wishes that are being served."""
        return len(self._holders)

    @property
    def wanted(self) -> Sequence[ModelInfo]:
        """The models of the wishes that wait, the next one first."""
        return [ticket.model for ticket in self._queue]

    def ask(self, ticket: Ticket) -> None:
        """Queue a wish; it may be granted, or have failed, before this returns."""
        failure = self._recent_failure(ticket.model)
        if failure is not None:
            ticket.on_failed(failure)
            return
        self._queue.append(ticket)
        self._pump()
        if ticket in self._queue:
            self._tell_one(ticket)

    def give_back(self, ticket: Ticket) -> None:
        """End a wish, granted or not. Giving back twice does no harm."""
        if ticket in self._holders:
            self._holders.remove(ticket)
        if ticket in self._queue:
            self._queue.remove(ticket)
        self._pump()

    def lose(self, end: ChildEnd) -> None:
        """The engine process is gone, and what it held with it: begin again for all it had."""
        holders, self._holders = self._holders, []
        self._resident = None
        self._num_deaths += 1
        for ticket in holders:
            ticket.num_losses += 1
        doomed = [t for t in holders if not self._may_return(end, t.num_losses)]
        self._queue = [t for t in holders if t not in doomed] + self._queue
        if self._loading is not None:
            self._num_failed_loads += 1
            if not self._may_return(end, self._num_failed_loads):
                doomed += self._take_those_waiting_for(self._loading)
                if end.may_return:
                    self._remember_failure(self._loading, self._last_word(end))
        if holders or doomed:
            num_again = sum(ticket not in doomed for ticket in holders)
            logger.warning("engine lost sent_again=%d failed=%d", num_again, len(doomed))
        self._fail(doomed, self._last_word(end))
        self._pump()

    def _may_return(self, end: ChildEnd, num_losses: int) -> bool:
        return end.may_return and num_losses <= self._max_replays

    def _last_word(self, end: ChildEnd) -> CortexError:
        if not end.may_return:
            return end.error
        return AttemptsExhausted(
            f"{end.error.message}; that is {self._max_replays + 1} times over this request",
            "it may be the request that ends it: ask for less, or look into the peer's log",
        )

    def _pump(self) -> None:
        """Grant what can be granted, in order; start the next load when it is time."""
        self._on_change()
        while self._queue and self._loading is None:
            ticket = self._queue[0]
            if _is_same(ticket.model, self._resident) and self._may_join(ticket):
                del self._queue[0]
                self._holders.append(ticket)
                ticket.on_granted()
            elif self._holders:
                return
            else:
                self._loading = ticket.model
                self._tasks.create_task(self._switch(ticket.model), name="load")

    def _may_join(self, ticket: Ticket) -> bool:
        """Whether the wish may be granted beside those that are."""
        if not self._holders:
            return True
        return not any(map(self._is_last_try, (ticket, *self._holders)))

    def _is_last_try(self, ticket: Ticket) -> bool:
        return 0 < self._max_replays <= ticket.num_losses

    async def _switch(self, model: ModelInfo) -> None:
        self._last_stage = None
        num_deaths = self._num_deaths
        error: CortexError | None = None
        try:
            if self._resident is not None:
                leaving, self._resident = self._resident, None
                await self._unload(leaving.id)
            await self._load(model, self._tell)
        except CortexError as failure:
            error = failure
        finally:
            self._loading = None
        # The word that it is loaded and the engine's death can arrive together; who is to suffer
        # for a death has been decided when it was told.
        if num_deaths == self._num_deaths:
            self._num_failed_loads = 0
            if error is None:
                self._resident = model
            else:
                self._remember_failure(model, error)
                logger.warning("load failed model=%s code=%s", model.id, error.code())
                self._fail(self._take_those_waiting_for(model), error)
        self._pump()

    def _tell(self, stage: Stage) -> None:
        self._last_stage = stage
        self._on_change()
        for ticket in self._queue:
            self._tell_one(ticket)

    def _tell_one(self, ticket: Ticket) -> None:
        if not _is_same(ticket.model, self._loading):
            place = self._queue.index(ticket) + 1
            ticket.on_stage(Stage("queued", place, len(self._queue), "place"))
        elif self._last_stage is not None:
            ticket.on_stage(self._last_stage)

    def _take_those_waiting_for(self, model: ModelInfo) -> list[Ticket]:
        taken = [ticket for ticket in self._queue if _is_same(ticket.model, model)]
        self._queue = [ticket for ticket in self._queue if ticket not in taken]
        self._num_failed_loads = 0
        return taken

    def _fail(self, tickets: Iterable[Ticket], error: CortexError) -> None:
        for ticket in tickets:
            ticket.on_failed(error)

    def _remember_failure(self, model: ModelInfo, error: CortexError) -> None:
        now_s = self._clock()
        recent = {id: kept for id, kept in self._failures.items() if now_s < kept.until_s}
        self._failures = recent | {model.id: _Failure(model, error, now_s + _FAILURE_KEPT_S)}

    def _recent_failure(self, model: ModelInfo) -> CortexError | None:
        """One of its own for each who hears it: what is raised grows by where it was raised."""
        failure = self._failures.get(model.id)
        if failure is None or self._clock() >= failure.until_s:
            return None
        return copy.copy(failure.error) if _is_same(model, failure.model) else None


def _is_same(wanted: ModelInfo, other: ModelInfo | None) -> bool:
    """Whether two are the same weights, as far as these are known: files may change in between."""
    if other is None or wanted.id != other.id:
        return False
    return not (wanted.weights and other.weights) or wanted.weights == other.weights
