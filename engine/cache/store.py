"""Everything that one process remembers of what it has read, for all models that it has held.

One tree a model, by what the model is and not by whether it is loaded: what is remembered outlives
an unload. One byte budget over all of them. Belongs to the thread of the device; its bytes are all
that others may ask for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic

from ..errors import InternalError
from .ledger import Ledger, Reservation
from .prefix import PrefixTree, SplitKv
from .radix import K, S


class PrefixStore(Generic[K, S]):
    """All trees of one process, under one budget."""

    def __init__(self, budget_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = Ledger(budget_bytes, clock)
        self._trees: dict[Hashable, PrefixTree[K, S]] = {}

    def tree(self, model: Hashable, split_kv: SplitKv[K] | None) -> PrefixTree[K, S]:
        """The tree of a model: named by its weights, dtype and mode, all that results depend on.

        A model without recurrent state brings the function that splits its keys and values.
        """
        if model not in self._trees:
            self._trees[model] = PrefixTree(self._ledger, split_kv)
        return self._trees[model]

    def reserve(self, num_bytes: int) -> Reservation | None:
        """Room for a payload outside the trees, such as a preempted sequence; None if none is."""
        has_room = self._ledger.make_room(num_bytes)
        return Reservation(self._ledger, num_bytes) if has_room else None

    @property
    def budget_bytes(self) -> int:
        return self._ledger.budget_bytes

    @property
    def used_bytes(self) -> int:
        """What is remembered."""
        return self._ledger.used_bytes

    @property
    def reserved_bytes(self) -> int:
        return self._ledger.reserved_bytes

    def check_integrity(self) -> None:
        """Raise InternalError where the books and the trees disagree."""
        nodes = [node for tree in self._trees.values() for node in tree.checked_nodes()]
        num_bytes = sum(node.num_bytes for node in nodes)
        used = self._ledger.used_bytes
        if num_bytes != used or used + self._ledger.reserved_bytes > self._ledger.budget_bytes:
            raise InternalError(f"{num_bytes} bytes are remembered, {used} are in the books")
        could_go = {node for node in nodes if node.state is not None or not node.is_recurrent}
        if could_go != self._ledger.listed():
            raise InternalError("the order of use does not hold the nodes of the trees")
