"""Pieces of text that were encoded before, with their tokens, under a budget of bytes.

A client sends its whole conversation with every turn: what is new in it is the last message or
two. Knows nothing of how text is encoded; whoever asks sees to it that a piece always means the
same tokens. May be used from several threads at once.
"""

from __future__ import annotations

import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence

# What an entry takes beside its text and tokens, about.
_ENTRY_BYTES = 200


class PieceMemo:
    """What is not asked for goes first."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()
        # In order of use.
        self._known: OrderedDict[str, array[int]] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    def get(self, piece: str) -> Sequence[int] | None:
        with self._lock:
            token_ids = self._known.get(piece)
            if token_ids is not None:
                self._known.move_to_end(piece)
            return token_ids

    def keep(self, piece: str, token_ids: Sequence[int]) -> None:
        """Remember a piece; not one that would take a quarter of the room or more."""
        kept = array("I", token_ids)
        num_bytes = _num_bytes(piece, kept)
        if num_bytes * 4 >= self._budget_bytes:
            return
        with self._lock:
            if piece in self._known:
                return
            self._known[piece] = kept
            self._used_bytes += num_bytes
            while self._used_bytes > self._budget_bytes:
                self._used_bytes -= _num_bytes(*self._known.popitem(last=False))


def _num_bytes(piece: str, token_ids: array[int]) -> int:
    return sys.getsizeof(piece) + sys.getsizeof(token_ids) + _ENTRY_BYTES
