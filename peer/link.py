"""Our end of a child's socket: whole messages out of it, whole frames into it.

It knows where one frame ends and the next begins, and nothing of what messages mean. Messages are
handed over as their bytes arrive, without a task in between: an engine's every step passes here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from cortex.engine.frames import FrameError, FrameSplitter
from cortex.engine.messages import Message

Hear = Callable[[Message], None]


class FrameLink(asyncio.Protocol):
    """`ended` is how it ended, in words, once it has; what `hear` raises ends it too.

    Nothing is read before somebody listens.
    """

    def __init__(self) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.num_heard = 0
        self._hear: Hear | None = None
        self._splitter = FrameSplitter()
        self._transport: asyncio.Transport | None = None

    def listen(self, hear: Hear) -> None:
        assert self._transport is not None, "it is connected"
        self._hear = hear
        self._transport.resume_reading()

    def send(self, frame: bytes | bytearray) -> None:
        assert self._transport is not None, "it is connected"
        self._transport.write(frame)

    def close(self) -> None:
        assert self._transport is not None, "it is connected"
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return  # it is being closed
        assert self._hear is not None, "somebody listens"
        try:
            for message in self._splitter.split(data):
                self.num_heard += 1
                self._hear(message)
                del message  # it may hold a whole prompt, and the next one may be long in coming
        except FrameError as error:
            self.ended.set_result(f"sent {error.message}")
        except Exception as error:
            self.ended.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result("ended")


async def open_link(connected: socket.socket) -> FrameLink:
    """The link over one end of a pair of sockets."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(FrameLink, sock=connected)
    return link
