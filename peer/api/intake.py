"""How many bytes of request bodies a peer holds at one time.

A body may be 64 MiB and there may be many at once: past a common bound new ones are turned away
before they are read, so that no crowd of clients costs unbounded memory.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from cortex.engine.errors import Overloaded

from ..errors import RequestTooLarge


class Intake:
    def __init__(self, max_body_bytes: int, max_total_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._max_total_bytes = max_total_bytes
        self._held_bytes = 0

    @contextmanager
    def room_for(self, declared_bytes: int | None) -> Generator[None]:
        """Hold room for one body; one of undeclared length counts as the largest allowed.

        Raises RequestTooLarge or Overloaded before a byte is read.
        """
        size_bytes = self._max_body_bytes if declared_bytes is None else declared_bytes
        if size_bytes > self._max_body_bytes:
            raise RequestTooLarge(
                f"a body of {size_bytes} bytes is over the limit of {self._max_body_bytes}",
                "send smaller pictures",
            )
        if self._held_bytes + size_bytes > self._max_total_bytes:
            raise Overloaded("too many large requests are under way", "try again in a moment")
        self._held_bytes += size_bytes
        try:
            yield
        finally:
            self._held_bytes -= size_bytes
