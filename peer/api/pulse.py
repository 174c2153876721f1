"""The heartbeat of one streamed reply: it speaks into silences, and ends one that nobody reads.

A timer a stream, set anew only when it has run out: what is written in between only notes the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web


class Pulse:
    """Write through it, inside its block. `quiet_s` is the longest silence; it may be changed."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        keep_alive: Callable[[], bytes],
        stall_s: float,
        quiet_s: float,
    ) -> None:
        self.quiet_s = quiet_s
        self._request = request
        self._response = response
        self._keep_alive = keep_alive
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._spoke_s = self._loop.time()
        # Since when the reader has taken nothing of what was written.
        self._waits_since_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._keeping_alive: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._timer is not None
        self._timer.cancel()
        if self._keeping_alive is not None:
            self._keeping_alive.cancel()

    async def write(self, chunk: bytes) -> None:
        """Send, waiting for a slow reader.

        Raises ConnectionResetError for one that has gone, or takes nothing for too long.
        """
        if chunk:
            self._spoke_s = self._loop.time()
            await self.remark(chunk)

    async def remark(self, chunk: bytes) -> None:
        """The same for what breaks no silence: some clients do not hear comments."""
        self._waits_since_s = self._loop.time()
        try:
            await self._response.write(chunk)
        finally:
            self._waits_since_s = None

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._rest_s(), self._beat)

    def _rest_s(self) -> float:
        """How long nothing can become due; no wait for a reader is overlooked for longer either."""
        now_s = self._loop.time()
        if self._waits_since_s is not None:
            return max(self._waits_since_s + self._stall_s - now_s, 0)
        return max(min(self._spoke_s + self.quiet_s - now_s, self._stall_s), 0)

    def _beat(self) -> None:
        now_s = self._loop.time()
        if self._waits_since_s is not None:
            if now_s - self._waits_since_s >= self._stall_s and self._request.transport is not None:
                self._request.transport.abort()
                return
        elif now_s - self._spoke_s >= self.quiet_s:
            self._spoke_s = now_s
            self._keeping_alive = self._loop.create_task(self._speak())
        self._arm()

    async def _speak(self) -> None:
        with contextlib.suppress(ConnectionError):  # the stream's own next write hears of it
            await self.write(self._keep_alive())
