"""One byte budget over everything that is remembered on the host, and who goes when it is full.

Nodes of all models are kept in two orders of use. *Kept* are those that the next turn of a
conversation will want: the first border of a path (the end of system and tools) and its last two.
All others are *passing*: the grid inside long messages, and turns further back. A passing node goes
before a kept one unless that has not been used for many requests. What goes is the state; keys and
values go with it where nothing behind them is left. Without states only leaves can go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import InternalError
from .radix import Node

# A conversation is taken to be alive while no more requests than these came after its last one.
LIVE_USES = 64

_AnyNode = Node[Any, Any]


class Ledger:
    """The books: bytes used, the order of use, what must not go. Belongs to one thread."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self.reserved_bytes = 0
        self.num_uses = 0
        self.num_evictions = 0
        self._passing: OrderedDict[_AnyNode, None] = OrderedDict()
        self._kept: OrderedDict[_AnyNode, None] = OrderedDict()

    def listed(self) -> set[_AnyNode]:
        """All nodes that could go, now or once nothing hangs on them."""
        return {*self._passing, *self._kept}

    def lists(self, node: _AnyNode) -> bool:
        return node in self._passing or node in self._kept

    def add(self, num_bytes: int) -> None:
        self.used_bytes += num_bytes

    def make_room(self, num_bytes: int) -> bool:
        """Have that many bytes free, evicting what it takes; False if even that is not enough."""
        if num_bytes > self.budget_bytes - self.reserved_bytes:
            return False
        while self.used_bytes + self.reserved_bytes + num_bytes > self.budget_bytes:
            victim = self._victim()
            if victim is None:
                return False
            self._evict(victim)
        return True

    def touch(self, path: Sequence[_AnyNode]) -> None:
        """Put a path's nodes last in their orders, the deepest very last: it spares most work."""
        if not path:
            return
        is_recurrent = path[0].is_recurrent
        borders = [node for node in path if node.is_border and is_recurrent]
        kept = {*borders[:1], *borders[-2:]}
        for node in path:
            node.used_at = self.num_uses
            self._unlist(node)
            if node.state is not None or not is_recurrent:
                (self._kept if node in kept else self._passing)[node] = None

    @contextmanager
    def pinned(self, node: _AnyNode | None) -> Generator[None]:
        """While it lasts the node, and so every node above it, stays."""
        if node is None:
            yield
            return
        node.num_pins += 1
        try:
            yield
        finally:
            node.num_pins -= 1
            self._remove_stranded(node)

    def _victim(self) -> _AnyNode | None:
        passing = next(filter(_can_go, self._passing), None)
        kept = next(filter(_can_go, self._kept), None)
        if passing is None or kept is None:
            return passing or kept
        return kept if kept.used_at + LIVE_USES < passing.used_at else passing

    def _evict(self, node: _AnyNode) -> None:
        self.num_evictions += 1
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
        self._passing.pop(node, None)
        self._kept.pop(node, None)


class Reservation:
    """Bytes of the budget for a payload that its owner keeps; a context manager."""

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

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_held:
            self.release()


def _can_go(node: _AnyNode) -> bool:
    return not node.num_pins and (node.state is not None or not node.children)
