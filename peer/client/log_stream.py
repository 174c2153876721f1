"""What a peer logs, line by line, as it is logged."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import aiohttp

from ..errors import NoPeer
from ..onlooker.asking import Door
from ..onlooker.log_lines import LogLine, Skipped, read_event
from ..onlooker.reading import dict_of
from .told_errors import error_of

_CONNECT_S = 5.0
# A stream says at least that it lives, every second.
_SILENCE_S = 10.0
_MAX_LINE_BYTES = 256 * 1024


async def follow_log(
    session: aiohttp.ClientSession, door: Door, peer: str, since_s: float
) -> AsyncGenerator[LogLine | Skipped]:
    """All levels, from so many seconds ago on. Asks the peer behind the door for another's.

    Raises what that one refuses with, or NoPeer where it is gone.
    """
    query = urlencode({"peer": peer, "since_s": f"{since_s:.3f}", "level": "debug", "follow": 1})
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    url = f"http://{door.address}/logs?{query}"
    try:
        async with session.get(
            url, headers=door.headers, timeout=timeout, read_bufsize=_MAX_LINE_BYTES
        ) as response:
            if response.status != 200:
                raise error_of(dict_of(json.loads(await response.read())), response.status)
            name = ""
            async for line in response.content:
                kind, _, value = line.rstrip(b"\r\n").partition(b": ")
                if kind == b"event":
                    name = value.decode("utf-8", "replace")
                elif kind == b"data" and (told := _read(name, value)) is not None:
                    yield told
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise NoPeer(f"{peer} tells its log no more ({type(error).__name__})") from error


def _read(name: str, value: bytes) -> LogLine | Skipped | None:
    """Raises ValueError where no peer can have said that, and what an error event says."""
    told = dict_of(json.loads(value))
    if name == "error":
        raise error_of(told, 502)
    return read_event(name, told)


@asynccontextmanager
async def following(
    door: Door, peer: str, since_s: float
) -> AsyncGenerator[AsyncGenerator[LogLine | Skipped]]:
    """With a connection of its own, which ends with the block."""
    async with aiohttp.ClientSession() as session:
        lines = follow_log(session, door, peer, since_s)
        try:
            yield lines
        finally:
            await lines.aclose()
