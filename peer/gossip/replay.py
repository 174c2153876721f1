"""Which of a sender's counters were seen already: a window that slides over the newest of them.

A counter is taken once, whatever the order; one that has fallen out of the window is never taken.
"""

from __future__ import annotations

WINDOW = 1024
_ALL = (1 << WINDOW) - 1


class ReplayWindow:
    def __init__(self) -> None:
        self._newest = 0
        # Bit n stands for the counter n below the newest.
        self._seen = 0

    def take(self, counter: int) -> bool:
        """Whether the counter comes for the first time, for all that is known. The first is 1."""
        ahead = counter - self._newest
        if counter < 1 or ahead <= -WINDOW:
            return False
        if ahead > 0:
            self._newest = counter
            # The shift is bounded first: a counter may be 2**64 ahead, and that many bits are not.
            self._seen = 1 if ahead >= WINDOW else ((self._seen << ahead) | 1) & _ALL
            return True
        bit = 1 << -ahead
        if self._seen & bit:
            return False
        self._seen |= bit
        return True
