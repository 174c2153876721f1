"""How long a suspect has to clear itself: less the more peers suspect it (Lifeguard).

One accuser may be the broken one, so a lone suspicion lives long; each further independent
accuser shortens it, by a logarithm, down to the shortest. This file knows no members and no
network.
"""

from __future__ import annotations

import math

from .ids import NodeId


class Suspicion:
    """The accusers of one peer at one incarnation, and when the doubt becomes a verdict."""

    def __init__(
        self, accuser: NodeId, now_s: float, range_s: tuple[float, float], num_confirmations: int
    ) -> None:
        self._started_s = now_s
        self._shortest_s, self._longest_s = range_s
        self._num_confirmations = num_confirmations
        self._accusers = {accuser}
        self._reprieve_s = float("-inf")
        self.has_last_chance = False  # a last probe is under way

    @property
    def expires_s(self) -> float:
        allowed_s = timeout_s(
            len(self._accusers) - 1, self._num_confirmations, self._shortest_s, self._longest_s
        )
        return max(self._started_s + allowed_s, self._reprieve_s)

    def confirm(self, accuser: NodeId) -> bool:
        """Count one more accuser; True if that was news, and so worth passing on."""
        if accuser in self._accusers or len(self._accusers) > self._num_confirmations:
            return False
        self._accusers.add(accuser)
        return True

    def reprieve_until(self, until_s: float) -> None:
        """The suspect gave a sign of life: no verdict before this."""
        self._reprieve_s = max(self._reprieve_s, until_s)
        self.has_last_chance = False


def timeout_s(confirmed: int, expected: int, shortest_s: float, longest_s: float) -> float:
    """longest - (longest - shortest) * log(confirmed + 1) / log(expected + 1), at least shortest.

    The formula of the Lifeguard paper (arXiv 1707.00788); where nobody else could confirm, the
    shortest time applies at once.
    """
    if expected < 1:
        return shortest_s
    share = math.log(confirmed + 1) / math.log(expected + 1)
    return max(shortest_s, longest_s - (longest_s - shortest_s) * share)
