"""Which of the addresses that strangers named to try next, and when.

A few at a time, each at ever longer intervals, until whoever was said to be there is met in earnest
or the hint is withdrawn. Whether anybody is met is asked of others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..gossip.ids import NodeId
from ..gossip.records import Address

MAX_IN_FLIGHT = 16
MAX_HINTS = 1024
# An answer comes within a round trip; who has not answered by then is tried again later.
ANSWER_S = 1.0
SHORTEST_REST_S = 1.0
LONGEST_REST_S = 60.0


@dataclass(slots=True)
class _Hint:
    node: NodeId
    next_s: float
    rest_s: float = SHORTEST_REST_S


class Dialler:
    """At most MAX_HINTS are known: the oldest gives way."""

    def __init__(self, is_met: Callable[[NodeId], bool]) -> None:
        self._is_met = is_met
        self._hints: dict[Address, _Hint] = {}
        self._flights: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._hints)

    def hear(self, now_s: float, node: NodeId, addresses: Iterable[Address]) -> None:
        """Somebody says that this peer is there. Saying it again makes nothing faster."""
        if self._is_met(node):
            return
        for address in addresses:
            known = self._hints.get(address)
            if known is not None:
                known.node = node
                continue
            if len(self._hints) >= MAX_HINTS:
                del self._hints[next(iter(self._hints))]
            self._hints[address] = _Hint(node, now_s)

    def withdraw(self, node: NodeId) -> None:
        """It says that it goes."""
        for address in [a for a, hint in self._hints.items() if hint.node == node]:
            del self._hints[address]

    def due(self, now_s: float) -> list[Address]:
        """The addresses to try now; what was tried counts as in flight for a while."""
        while self._flights and self._flights[0] <= now_s:
            self._flights.popleft()
        free = MAX_IN_FLIGHT - len(self._flights)
        if free <= 0:
            return []
        self._forget_met(now_s)
        waiting = [(hint.next_s, a) for a, hint in self._hints.items() if hint.next_s <= now_s]
        chosen = [address for _, address in sorted(waiting, key=lambda pair: pair[0])[:free]]
        for address in chosen:
            hint = self._hints[address]
            hint.next_s = now_s + ANSWER_S + hint.rest_s
            hint.rest_s = min(2 * hint.rest_s, LONGEST_REST_S)
            self._flights.append(now_s + ANSWER_S)
        return chosen

    def next_s(self, now_s: float) -> float | None:
        """When to ask `due` again; None while there is nobody to try."""
        if not self._hints:
            return None
        if len(self._flights) >= MAX_IN_FLIGHT:
            return max(now_s, self._flights[0])
        return max(now_s, min(hint.next_s for hint in self._hints.values()))

    def _forget_met(self, now_s: float) -> None:
        met = [a for a, h in self._hints.items() if h.next_s <= now_s and self._is_met(h.node)]
        for address in met:
            del self._hints[address]
