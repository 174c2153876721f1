"""Which model is in the engine, who is using it, and who waits for another.

First come, first served: a request for the resident model goes ahead unless somebody before it
waits for a different one, so that no model starves another. The next model is loaded when nobody
uses the last one; all who wait for it share that one load and its failure. How loading is done
comes in as two functions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cortex.engine.errors import CortexError
from cortex.engine.types import Stage

from .types import ModelInfo

logger = logging.getLogger(__name__)

LoadModel = Callable[[ModelInfo, Callable[[Stage], None]], Awaitable[None]]
UnloadModel = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """One wish for one model. Exactly one of `on_granted` and `on_failed` is called, once,
    unless the ticket is given back before."""

    model: ModelInfo
    on_stage: Callable[[Stage], None]
    on_granted: Callable[[], None]
    on_failed: Callable[[CortexError], None]


class Residency:
    """The book of one engine. All of it happens on one event loop."""

    def __init__(self, load: LoadModel, unload: UnloadModel, tasks: asyncio.TaskGroup) -> None:
        self._load = load
        self._unload = unload
        self._tasks = tasks
        self._resident_id: str | None = None
        self._holders: set[Ticket] = set()
        self._queue: list[Ticket] = []
        self._loading: ModelInfo | None = None
        self._last_stage: Stage | None = None
        self._num_deaths = 0

    @property
    def resident_id(self) -> str | None:
        return self._resident_id

    @property
    def loading_id(self) -> str | None:
        return None if self._loading is None else self._loading.id

    def ask(self, ticket: Ticket) -> None:
        """Queue a wish; it may be granted before this returns."""
        self._queue.append(ticket)
        self._pump()
        if ticket in self._queue:
            self._tell_one(ticket)

    def give_back(self, ticket: Ticket) -> None:
        """End a wish, granted or not. Giving back twice does no harm."""
        self._holders.discard(ticket)
        if ticket in self._queue:
            self._queue.remove(ticket)
        self._pump()

    def forget(self) -> None:
        """The engine process is gone, and what it held with it."""
        self._resident_id = None
        self._num_deaths += 1
        self._holders.clear()

    def _pump(self) -> None:
        """Grant what can be granted, in order; start the next load when it is time."""
        while self._queue and self._loading is None:
            ticket = self._queue[0]
            if ticket.model.id == self._resident_id:
                del self._queue[0]
                self._holders.add(ticket)
                ticket.on_granted()
            elif self._holders:
                return
            else:
                self._loading = ticket.model
                self._tasks.create_task(self._switch(ticket.model), name="load")

    async def _switch(self, model: ModelInfo) -> None:
        self._last_stage = None
        num_deaths = self._num_deaths
        error: CortexError | None = None
        try:
            if self._resident_id is not None:
                leaving, self._resident_id = self._resident_id, None
                await self._unload(leaving)
            await self._load(model, self._tell)
            # The word that it is loaded and the engine's death can arrive together.
            if num_deaths == self._num_deaths:
                self._resident_id = model.id
        except CortexError as failure:
            logger.warning("load failed model=%s code=%s", model.id, failure.code())
            error = failure
        finally:
            self._loading = None
        if error is not None:
            self._fail_those_waiting_for(model, error)
        self._pump()

    def _tell(self, stage: Stage) -> None:
        self._last_stage = stage
        for ticket in self._queue:
            self._tell_one(ticket)

    def _tell_one(self, ticket: Ticket) -> None:
        if self._loading is None or ticket.model.id != self._loading.id:
            place = self._queue.index(ticket) + 1
            ticket.on_stage(Stage("queued", place, len(self._queue), "place"))
        elif self._last_stage is not None:
            ticket.on_stage(self._last_stage)

    def _fail_those_waiting_for(self, model: ModelInfo, error: CortexError) -> None:
        failed = [ticket for ticket in self._queue if ticket.model.id == model.id]
        self._queue = [ticket for ticket in self._queue if ticket.model.id != model.id]
        for ticket in failed:
            ticket.on_failed(error)
