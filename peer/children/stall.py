"""When a device counts as wedged under a process that still speaks. Pure.

Time is counted in the child's own heartbeats, one a second: a machine that was suspended, or a
peer that was itself held up, blames nobody for it.
"""

from __future__ import annotations

_STILL_BEATS = 5


class StallWatch:
    """Tell it of every heartbeat, and of every word that only a working device can have said."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._last_step_count = -1
        self._num_still = 0

    @property
    def is_still(self) -> bool:
        """Whether it has done nothing for so long that others should have new work first."""
        return self._num_still >= _STILL_BEATS

    def moved(self) -> None:
        self._num_still = 0

    def beat(self, step_count: int, *, has_work: bool) -> bool:
        """Whether the device has had work all along and done nothing for the deadline."""
        if not has_work or step_count != self._last_step_count:
            self._num_still = 0
        else:
            self._num_still += 1
        self._last_step_count = step_count
        return self._num_still >= self._deadline_s
