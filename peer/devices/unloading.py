"""Orders that a model go once it is idle: whom it serves before, and what takes such an order back.

Those who waited for the model when it was told to go, or while it was loaded, are served first:
else it would be thrown away unused, and loaded again for them. When it goes is `placer.py`'s.
"""

from __future__ import annotations

import asyncio

from .places import Place, PlaceBook
from .wishes import WishQueue


class Unloading:
    def __init__(self, places: PlaceBook, queue: WishQueue) -> None:
        self._places = places
        self._queue = queue

    def order(self, place: Place, *, is_forced: bool) -> asyncio.Future[bool]:
        """Tells whether it has gone, once it has, or has been ordered to stay. One that is forced
        waits for nobody, whatever was ordered before.
        """
        if is_forced:
            place.served_first = set()
        elif not place.unloads:
            place.served_first = set(self._queue.those_for(place.model.id))
        place.leaves = "asked"
        order: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        place.unloads.append(order)
        return order

    def take_back(self, order: asyncio.Future[bool]) -> None:
        """The model stays, where no other such order is for it and it has not begun to go."""
        for place in self._places:
            if order in place.unloads:
                place.unloads.remove(order)
                if not place.unloads:
                    self.stay(place)

    def stay(self, place: Place) -> None:
        """Whatever was ordered before, if it has not begun to go."""
        if place.leaves == "asked" and place.state != "unloading":
            place.leaves, place.served_first = None, set()
            place.end_unloads(has_gone=False)

    def loaded(self, place: Place) -> None:
        """It was told to go while it was loaded, or given up too late."""
        if place.leaves != "asked" or not self._queue.wants(place.model.id):
            return
        if not place.unloads:
            place.leaves = None  # called off by who had ordered it; others have come since
        elif place.state == "loading":
            place.served_first = set(self._queue.those_for(place.model.id))
