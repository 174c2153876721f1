"""Tokens of pieces of text that were encoded before, under a budget of bytes.

A client sends its whole conversation with every turn: what is new in it is the last message or
two. The text itself, several bytes a token, is not kept: a digest stands for it. Knows nothing of
how text is encoded; whoever asks sees to it that a piece always means the same tokens. May be used
from several threads at once. Tokens are the words of a client: they are let go when nobody has sent
them again for a while.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

# What an entry takes beside its tokens, about.
_ENTRY_BYTES = 250


# A conversation that was not continued for so long may have ended; its pictures go then as well.
KEPT_S = 600.0


class PieceMemo:
    """What is not asked for goes first."""

    def __init__(self, budget_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget_bytes = budget_bytes
        self._clock = clock
        self._used_bytes = 0
        self._lock = threading.Lock()
        # By digests, with when they were last used, in that order.
        self._known: OrderedDict[bytes, tuple[array[int], float]] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    def get(self, piece: str) -> Sequence[int] | None:
        digest = _digest(piece)
        with self._lock:
            if (known := self._known.pop(digest, None)) is None:
                return None
            self._known[digest] = known[0], self._clock()
            return known[0]

    def keep(self, piece: str, token_ids: Sequence[int]) -> None:
        """Remember a piece; not one that would take a quarter of the room or more."""
        digest, kept = _digest(piece), array("I", token_ids)
        num_bytes = _num_bytes(kept)
        if num_bytes * 4 >= self._budget_bytes:
            return
        with self._lock:
            if digest in self._known:
                return
            self._known[digest] = kept, self._clock()
            self._used_bytes += num_bytes
            while self._used_bytes > self._budget_bytes:
                self._let_first_go()

    def forget(self) -> None:
        """Let go of what was not asked for so long."""
        with self._lock:
            latest_s = self._clock() - KEPT_S
            while self._known and next(iter(self._known.values()))[1] <= latest_s:
                self._let_first_go()

    def _let_first_go(self) -> None:
        _, (gone, _) = self._known.popitem(last=False)
        self._used_bytes -= _num_bytes(gone)


def _digest(piece: str) -> bytes:
    """Long enough that nobody finds two pieces with the same: clients write them."""
    return hashlib.blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def _num_bytes(token_ids: array[int]) -> int:
    return sys.getsizeof(token_ids) + _ENTRY_BYTES
