"""The heartbeat of one streamed reply: it speaks into silences.

A timer a stream, set anew only when it has run out: what is written in between only notes the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Self

from aiohttp import web


class Pulse:
    """Write through it, inside its block. `quiet_s` is the longest silence, and `keep_alive` makes
    what fills it; both may be changed."""

    def __init__(
        self,
        response: web.StreamResponse,
        keep_alive: Callable[[], bytes],
        quiet_s: float,
    ) -> None:
        self.quiet_s = quiet_s
        self.keep_alive = keep_alive
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._spoke_s = self._loop.time()
        # For a slow reader: then more would only wait as well.
        self._is_waiting = False
        self._timer: asyncio.TimerHandle | None = None
        self._keeping_alive: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._timer is not None
        self._timer.cancel()
        if self._keeping_alive is not None:
            self._keeping_alive.cancel()

    async def write(self, chunk: bytes) -> None:
        """Send, waiting for a slow reader.

        Raises ConnectionResetError for one that has gone.
        """
        if chunk:
            self._spoke_s = self._loop.time()
            await self.remark(chunk)

    async def remark(self, chunk: bytes) -> None:
        """The same for what breaks no silence: some clients do not hear comments."""
        self._is_waiting = True
        try:
            await self._response.write(chunk)
        finally:
            self._is_waiting = False

    def _arm(self) -> None:
        rest_s = self._spoke_s + self.quiet_s - self._loop.time()
        self._timer = self._loop.call_later(max(rest_s, 0), self._beat)

    def _beat(self) -> None:
        now_s = self._loop.time()
        if now_s - self._spoke_s >= self.quiet_s:
            self._spoke_s = now_s
            if not self._is_waiting:
                self._keeping_alive = self._loop.create_task(self._speak())
        self._arm()

    async def _speak(self) -> None:
        with contextlib.suppress(ConnectionError):  # the stream's own next write hears of it
            await self.write(self.keep_alive())
