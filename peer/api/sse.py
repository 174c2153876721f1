"""Server-sent events: how they are spelt, and how a wait is filled.

It knows no dialect: objects in, bytes out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
DONE = b"data: [DONE]\n\n"


def data(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def comment(text: str) -> bytes:
    return b": " + text.encode() + b"\n\n"


def guarded(
    write: Callable[[bytes], Awaitable[None]], stall_s: float
) -> Callable[[bytes], Awaitable[None]]:
    """The same write, giving up on a reader who takes nothing for too long.

    Raises ConnectionResetError then, as if the reader had left.
    """

    async def write_or_give_up(chunk: bytes) -> None:
        if not chunk:
            return
        try:
            async with asyncio.timeout(stall_s):
                await write(chunk)
        except TimeoutError:
            raise ConnectionResetError("the reader has stopped reading") from None

    return write_or_give_up


class Pace:
    """How long a stream may stay quiet; the stream's writer changes it as it goes."""

    def __init__(self, quiet_s: float) -> None:
        self.quiet_s = quiet_s


async def paced(events: AsyncGenerator[T], pace: Pace) -> AsyncGenerator[T | None]:
    """The events as they come, and None whenever the pace's time has passed without one.

    The events' generator is closed with this one, also in the middle of a wait.
    """
    coming: asyncio.Task[T] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({coming}, timeout=pace.quiet_s)
            if not done:
                yield None
                continue
            finished, coming = coming, None
            try:
                event = finished.result()
            except StopAsyncIteration:
                return
            yield event
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait({coming})
        await events.aclose()
