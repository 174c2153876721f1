"""One byte budget over everything that is remembered on the host, and who goes when it is full.

Nodes of all models are kept in orders of use. *Kept* are those that the next turn of a conversation
will want: the first border of a path (the end of system and tools), its last two, and where the
answer to the last question began, for there a template drops the reasoning of a tool loop when the
next question comes; without states, all. The others are *passing*: the grid inside long messages,
and turns further back. Of these the one goes first that spares least: of a path every other one,
then every other one of those left. A passing node goes before a kept one unless that was used an
hour before it; and of the kept ones used longest ago the one goes first that spares least for what
it takes: who waits behind a long prompt outlasts many short ones that nobody comes back to.
What goes is the state; keys and values go with it where nothing behind them is left. Without states
only leaves can go.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from ..errors import InternalError
from .radix import Node

# A conversation is taken to be alive for so long after its last request.
LIVE_S = 3600.0
# So many kept nodes are weighed against each other when one of them has to go.
_MOST_WEIGHED = 64

_AnyNode = Node[Any, Any]


class Ledger:
    """The books: bytes used, the order of use, what must not go. Belongs to one thread."""

    def __init__(self, budget_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self.reserved_bytes = 0
        self._clock = clock
        self._pinned: set[_AnyNode] = set()
        # By what a node spares; kept ones under 0.
        self._orders: defaultdict[int, OrderedDict[_AnyNode, None]] = defaultdict(OrderedDict)

    def listed(self) -> set[_AnyNode]:
        """All nodes that could go, now or once nothing hangs on them."""
        return {node for order in self._orders.values() for node in order}

    def lists(self, node: _AnyNode) -> bool:
        return node in self._orders[node.spared_tokens]

    def add(self, num_bytes: int) -> None:
        self.used_bytes += num_bytes

    def make_room(self, num_bytes: int, *, spares_live: bool = False) -> bool:
        """Have that many bytes free, evicting what it takes; nothing, and False, if all that can
        go is not enough. Where it `spares_live` ones, what their next turns want does not go.
        """
        free_bytes = self.budget_bytes - self.reserved_bytes - num_bytes
        if self.used_bytes <= free_bytes:
            return True
        staying = self._pinned | self._live() if spares_live else self._pinned
        if _held_bytes(staying) > free_bytes:
            return False
        while self.used_bytes > free_bytes:
            self._evict(self._victim(staying))
        return True

    def touch(self, path: Sequence[_AnyNode]) -> None:
        """Put a path's nodes last in their orders, the deepest very last: it spares most work."""
        now_s, above_tokens, wanted = self._clock(), 0, _wanted_next(path)
        for node in path:
            node.used_at_s = now_s
            self._unlist(node)
            if node.state is None and node.is_recurrent:
                continue
            # A power of two: it is the first behind some multiple of so many tokens. Those that are
            # left when all that spare less have gone lie evenly.
            spared = 1 << (node.end ^ above_tokens).bit_length()
            node.spared_tokens = 0 if node in wanted else spared
            self._orders[node.spared_tokens][node] = None
            above_tokens = node.end

    @contextmanager
    def pinned(self, node: _AnyNode | None) -> Generator[None]:
        """While it lasts the node, and so every node above it, stays."""
        if node is None:
            yield
            return
        self.pin(node)
        try:
            yield
        finally:
            self.unpin(node)

    def pin(self, node: _AnyNode) -> None:
        node.num_pins += 1
        self._pinned.add(node)

    def unpin(self, node: _AnyNode) -> None:
        node.num_pins -= 1
        if not node.num_pins:
            self._pinned.remove(node)
        self._remove_stranded(node)

    def _live(self) -> set[_AnyNode]:
        since_s = self._clock() - LIVE_S
        return {node for node in self._orders[0] if node.used_at_s >= since_s}

    def _victim(self, staying: Collection[_AnyNode]) -> _AnyNode:
        """Who goes next. Somebody can: whoever asks has seen that."""
        now_s = self._clock()

        def worth(node: _AnyNode) -> float:
            spared = node.spared_tokens or _spared_share(node)
            return spared / (now_s - node.used_at_s + LIVE_S)

        oldest = {spared: _those_that_can_go(o, staying) for spared, o in self._orders.items()}
        kept = list(islice(oldest.pop(0, ()), _MOST_WEIGHED))
        firsts = [node for order in oldest.values() for node in islice(order, 1)]
        passing = min(firsts, key=worth, default=None)
        if passing:
            kept = [node for node in kept if node.used_at_s + LIVE_S < passing.used_at_s]
        victim = min(kept, key=worth, default=passing)
        if victim is None:
            raise InternalError(f"of {self.used_bytes} remembered bytes none can go")
        return victim

    def _evict(self, node: _AnyNode) -> None:
        self._unlist(node)
        if node.children:
            self.used_bytes -= node.state_bytes
            node.state, node.state_bytes = None, 0
        else:
            self._remove(node)

    def _remove(self, node: _AnyNode) -> None:
        self._unlist(node)
        node.siblings.remove(node)
        self.used_bytes -= node.num_bytes
        if node.parent is not None:
            self._remove_stranded(node.parent)

    def _remove_stranded(self, node: _AnyNode) -> None:
        if node.is_stranded and not node.num_pins:
            self._remove(node)

    def _unlist(self, node: _AnyNode) -> None:
        self._orders[node.spared_tokens].pop(node, None)


class Reservation:
    """Bytes of the budget for a payload that its owner keeps."""

    def __init__(self, ledger: Ledger, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._ledger = ledger
        self._is_held = True
        ledger.reserved_bytes += num_bytes

    def release(self) -> None:
        """Give the bytes back. Twice is an error."""
        if not self._is_held:
            raise InternalError(f"{self.num_bytes} reserved bytes were already given back")
        self._is_held = False
        self._ledger.reserved_bytes -= self.num_bytes


def _wanted_next(path: Sequence[_AnyNode]) -> set[_AnyNode]:
    """What the next turn of the conversation that goes down a path will want of it."""
    if not path[:1] or not path[0].is_recurrent:
        return set(path)
    borders = [node for node in path if node.is_border]
    begun = [node for node in borders if node.begins_answer]
    return {*borders[:1], *borders[-2:], *begun[-1:]}


def _those_that_can_go(
    order: Iterable[_AnyNode], staying: Collection[_AnyNode]
) -> Iterator[_AnyNode]:
    return (n for n in order if n not in staying and (n.state is not None or not n.children))


def _spared_share(node: _AnyNode) -> float:
    """Bytes of keys and values to be computed again when it has gone, for each byte that is free
    then. Without states always 1: of those the one used longest ago goes.
    """
    is_last = not node.children
    spared_bytes, freed_bytes = node.kv_bytes, node.state_bytes + is_last * node.kv_bytes
    above = node.parent
    while above is not None and above.is_recurrent and above.state is None:
        is_last &= len(above.children) == 1
        spared_bytes += above.kv_bytes
        freed_bytes += is_last * above.kv_bytes
        above = above.parent
    return spared_bytes / max(1, freed_bytes)


def _held_bytes(staying: Collection[_AnyNode]) -> int:
    """What stays with them: their states, and keys and values from the top down to them."""
    held: set[_AnyNode] = set()
    for staying_node in staying:
        node: _AnyNode | None = staying_node
        while node is not None and node not in held:
            held.add(node)
            node = node.parent
    return sum(n.kv_bytes for n in held) + sum(n.state_bytes for n in staying)
