"""What was recorded once on a device and is launched again as one: how many graphs, and which.

What a recording is, and how it is made, is the device's to know (`cuda_graphs.py`); what it
computes, its owner's. One that failed is the last, unless memory did not reach for it: without them
everything goes on as before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from ..failing import shortage_of
from ..poison import raise_poison

Key = TypeVar("Key", bound=Hashable)

_log = logging.getLogger(__name__)

# Each holds some megabytes of launches. Beyond that the one that was not used for longest goes.
_MOST_GRAPHS = 64
# Of one that went, so many uses come before it is made once more: where more kinds are in use than
# are held, making them over and over would cost more than they spare.
_USES_BEFORE_AGAIN = 32
# And of one for whose trial memory did not reach: to ask for it again costs the device a pause.
_USES_BEFORE_RETRY = 1024


class Replayable(Protocol):
    """Work that was captured: the same launches, which read what lies in the same places then."""

    def replay(self) -> None: ...


class Capture(Protocol):
    """Records the launches of some work, which need not happen on the way."""

    @property
    def has_room(self) -> bool:
        """Whether the device has memory for one more."""
        ...

    def __call__(self, work: Callable[[], None]) -> Replayable: ...


class Graphs(Generic[Key]):
    """Those of one kind, of one model on one device, by their keys; made at a key's second use,
    because the first one makes the kernels ready.
    """

    def __init__(self, capture: Capture | None, most: int = _MOST_GRAPHS) -> None:
        """Without `capture` there are none."""
        self._capture = capture
        self._most = most
        # How many uses without one come before it is made, of what was used.
        self._uses_before: dict[Key, int] = {}
        self._graphs: dict[Key, Replayable] = {}  # the one used last at the end

    @property
    def are_on(self) -> bool:
        return self._capture is not None

    def find(self, key: Key) -> Replayable | None:
        graph = self._graphs.pop(key, None)
        if graph is not None:
            self._graphs[key] = graph
        return graph

    def is_due(self, key: Key) -> bool:
        """Whether there should be one: asked once for each use without one."""
        uses_before = self._uses_before.get(key, 1)
        self._uses_before[key] = max(0, uses_before - 1)
        return not uses_before and self.has_room

    def is_settled(self, key: Key) -> bool:
        """Whether the next use of it makes none, nor makes anything ready for one: it has one, had
        one not long ago or was put off, or there is no room.
        """
        is_later = self._uses_before.get(key, 0) > 0
        return is_later or self.find(key) is not None or not self.has_room

    @property
    def has_room(self) -> bool:
        return self._capture is not None and self._capture.has_room

    def capture(self, work: Callable[[], None]) -> Replayable:
        assert self._capture is not None, "asked for only where it is due"
        return self._capture(work)

    def try_out(self, key: Key, attempt: Callable[[], Replayable | None]) -> Replayable | None:
        """Keep what the attempt makes, if that is right: None from it is a graph that gives
        something else. Where memory does not reach for it, it is tried later.

        Raises DevicePoisoned.
        """
        try:
            graph, reason = attempt(), "launched again, it gives something else"
        except Exception as error:
            raise_poison(error)
            if (shortage := shortage_of(error)) is not None:
                self._put_off(key, shortage.message)
                return None
            graph, reason = None, str(error)
        if graph is None:
            self._give_up(key, reason)
        else:
            self._keep(key, graph)
        return graph

    def _keep(self, key: Key, graph: Replayable) -> None:
        """It was tried and is right."""
        if len(self._graphs) == self._most:
            went = next(iter(self._graphs))
            del self._graphs[went]
            self._uses_before[went] = _USES_BEFORE_AGAIN
        self._graphs[key] = graph
        _log.info("graph %d is of %s", len(self._graphs), key)

    def _put_off(self, key: Key, reason: str) -> None:
        """Not now: what it is tried with found no memory. The others stay."""
        _log.warning("no graph yet of %s: %s", key, reason)
        self._uses_before[key] = _USES_BEFORE_RETRY

    def _give_up(self, key: Key, reason: str) -> None:
        """From now on there are none."""
        _log.warning("no graphs of that kind any more, launches go one by one: %s: %s", key, reason)
        self._capture = None
        self._graphs.clear()
