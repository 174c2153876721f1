"""Loads under way that nobody waits for any more: which of them end, and which go on all the same.

One goes on where it is nearly done: those who left often come back, and to begin anew would cost
them much more than the rest costs anybody now. And where it has lasted so long that clients who see
no stages may have been told to come back when it is done: if each of them began it anew, a model
that takes long would never be loaded. What somebody ends by hand ends in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from cortex.engine.stream import Stage

from .moving import Mover
from .places import Place, PlaceBook, Ticket
from .wishes import WishQueue

logger = logging.getLogger(__name__)

_NEARLY_DONE = 0.8
# Of the time that such clients wait, some of it before the load began.
_LONG = 0.5


def is_worth_its_end(stage: Stage | None, lasted_s: float, cold_wait_s: float) -> bool:
    if lasted_s >= _LONG * cold_wait_s:
        return True
    if stage is None or stage.name != "loading" or not stage.total:
        return False
    return stage.done >= _NEARLY_DONE * stage.total


def is_wanted(place: Place, queue: WishQueue) -> bool:
    """What was there before its engine was started anew need not be waited for."""
    return place.is_home or place.ready_s > 0 or queue.wants(place.model.id)


class Abandoning:
    def __init__(
        self, places: PlaceBook, queue: WishQueue, mover: Mover, clock: Callable[[], float]
    ) -> None:
        self._places = places
        self._queue = queue
        self._mover = mover
        self._clock = clock

    def look(self, cold_wait_s: float) -> None:
        """Give up what nobody waits for; who sees no stages waits for that long."""
        for place in filter(self._is_unwanted, self._places):
            lasted_s = self._clock() - place.began_s
            if not is_worth_its_end(place.stage, lasted_s, cold_wait_s):
                self.give_up(place)

    def call_off(self, ticket: Ticket) -> None:
        """A wish was ended by hand: where no other is for its model, the load ends too, or the
        model goes if it is too late for that.
        """
        self._queue.drop(ticket)
        place = self._places.of(ticket.model.id)
        if place is not None and self._is_unwanted(place):
            place.leaves = "asked"
            self.give_up(place)

    def give_up(self, place: Place) -> None:
        stage = place.stage or Stage("queued")
        told = (place.model.id, stage.done, stage.total)
        logger.info("load given up model=%s done=%d total=%d", *told)
        self._mover.give_up(place)

    def _is_unwanted(self, place: Place) -> bool:
        return place.state == "loading" and not is_wanted(place, self._queue)
