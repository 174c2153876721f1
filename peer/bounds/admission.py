"""How much a peer has under way at one time: requests, and the bytes that are kept for them.

What would be too much is turned away at once. All of it happens on one event loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager

from cortex.engine.errors import Overloaded

from ..errors import UnsupportedParameter

# Of the memory that is free when a peer begins, prompts take so much at the most, and never less
# than a few long conversations with pictures need: the engine has each once more.
_PROMPTS_SHARE = 16
LEAST_PROMPTS_BYTES = 1 << 30


def prompts_bytes(free_bytes: int) -> int:
    """What all prompts under way may take together, where nobody has said."""
    return max(LEAST_PROMPTS_BYTES, free_bytes // _PROMPTS_SHARE)


class Admission:
    """`max_bytes` bounds prompts and vectors together. `on_change` is called when the number of
    requests has changed, and when no more are taken. `wait_s` is when there may be room for
    one more, 0 where nothing is known of that.
    """

    def __init__(
        self,
        max_requests: int,
        max_bytes: int,
        on_change: Callable[[], None] = lambda: None,
        wait_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.live_requests = 0
        self.is_draining = False
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._on_change = on_change
        self._wait_s = wait_s
        self._held_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def close(self) -> None:
        """Admit nobody more."""
        self.is_draining = True
        self._on_change()

    def open(self) -> None:
        """Admit again."""
        self.is_draining = False
        self._on_change()

    async def idle(self) -> None:
        """Return when nothing is under way."""
        await self._idle.wait()

    @contextmanager
    def admitted(self, num_requests: int) -> Generator[None]:
        """Be under way, as so many requests, for as long as the block lasts.

        Raises Overloaded, and UnsupportedParameter for what can never be: another peer may take it.
        """
        if self.is_draining:
            raise Overloaded("this peer is going away", "ask another peer, or this one later")
        if num_requests > self._max_requests:
            raise UnsupportedParameter(
                f"n: each choice is a request, and this peer takes {self._max_requests} at a time",
                "ask for fewer choices",
                param="n",
            )
        if self.live_requests + num_requests > self._max_requests:
            raise Overloaded(
                f"{self.live_requests} requests are under way, which is the most this peer takes",
                "try again in a moment",
                retry_after_s=math.ceil(self._wait_s()) or None,
            )
        self.live_requests += num_requests
        self._idle.clear()
        self._on_change()
        try:
            yield
        finally:
            self.live_requests -= num_requests
            if self.live_requests == 0:
                self._idle.set()
            self._on_change()

    @contextmanager
    def holding(self, size_bytes: int) -> Generator[None]:
        """Keep so many bytes for as long as the block lasts.

        Pictures weigh more as pixels than as files, and a vector more than the word it was made
        of: a body's size bounds neither. Raises Overloaded.
        """
        if self._held_bytes + size_bytes > self._max_bytes:
            raise Overloaded(
                f"what is under way and this are over {self._max_bytes} bytes together, which is"
                " the most this peer holds",
                "try again in a moment, or send fewer or smaller pictures, or fewer texts",
            )
        self._held_bytes += size_bytes
        try:
            yield
        finally:
            self._held_bytes -= size_bytes
