"""Long messages put together again from their slices.

The other side says beforehand how long one will be: what is too long, or more than there is room
for, is refused at its first slice, and the rest of it passed over. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from cortex.engine.frames import FrameError

from ..errors import RequestTooLarge
from .messages import Slice


class Assembler:
    """One message at a time. `hold` keeps room for so many bytes, or raises Overloaded."""

    def __init__(self, max_bytes: int, hold: Callable[[int], AbstractContextManager[None]]) -> None:
        self._max_bytes = max_bytes
        self._hold = hold
        self._request_id = ""
        self._total_bytes = 0
        self._num_come = 0
        # None where nothing is wanted of what comes.
        self._data: bytearray | None = None
        self._room = ExitStack()

    def add(self, piece: Slice) -> bytearray | None:
        """The whole message, with its last slice.

        Raises RequestTooLarge or Overloaded at the first slice of one that is refused, FrameError
        for a slice that does not follow the one before it.
        """
        if piece.offset == 0:
            self.close()
            self._request_id, self._total_bytes = piece.request_id, piece.total_bytes
        if piece.offset != self._num_come or piece.total_bytes != self._total_bytes:
            raise FrameError("a slice that does not follow the one before it")
        self._num_come += len(piece.data)
        if self._num_come > self._total_bytes:
            raise FrameError("slices of more bytes than were announced")
        if piece.offset == 0:
            self._make_room()
        if self._data is None:
            return None
        self._data += piece.data
        if self._num_come < self._total_bytes:
            return None
        data = self._data
        self.close()
        return data

    def forget(self, request_id: str) -> None:
        """No more slices of this one come."""
        if self._request_id == request_id:
            self.close()

    def _make_room(self) -> None:
        if self._total_bytes > self._max_bytes:
            raise RequestTooLarge(
                f"a request of {self._total_bytes} bytes is over this peer's limit of"
                f" {self._max_bytes}",
                "send smaller pictures",
            )
        self._room.enter_context(self._hold(self._total_bytes))
        self._data = bytearray()

    def close(self) -> None:
        """Nothing more comes of this one, or at all."""
        self._room.close()
        self._data, self._num_come, self._total_bytes = None, 0, 0
