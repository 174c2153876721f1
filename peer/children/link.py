"""Our end of a child's socket: whole messages out of it, whole frames into it.

It knows where one frame ends and the next begins, and nothing of what messages mean. Messages are
handed over as their bytes arrive, without a task in between: an engine's every step passes here.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import cast

from cortex.engine.frames import Buffer, FrameError, FrameSplitter
from cortex.engine.messages import Message

# So much is handed to the transport at a time.
_MOST_BYTES = 256 * 1024

Hear = Callable[[Message], None]


class FrameLink(asyncio.Protocol):
    """`ended` is how it ended, in words, once it has; what `hear` raises ends it too.

    Nothing is read before somebody listens.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self.loop.create_future()
        self.num_heard = 0
        self._hear: Hear | None = None
        self._splitter = FrameSplitter()
        self._transport: asyncio.Transport | None = None
        self._unsent: deque[memoryview] = deque()
        self._is_full = False
        self._is_held = False

    def listen(self, hear: Hear) -> None:
        assert self._transport is not None, "it is connected"
        self._hear = hear
        self._transport.resume_reading()

    def send(self, frame: Buffer) -> None:
        """Send a frame, or the next part of one, without waiting; they keep their order, and must
        not change afterwards.

        The first one in a turn of the loop goes at once, and those after it together at the turn's
        end: each write may wake the child, which costs more than the bytes do.
        """
        self._unsent.append(memoryview(frame))
        if not self._is_held:
            self._is_held = True
            self._flush()
            self.loop.call_soon(self._release)

    def close(self) -> None:
        assert self._transport is not None, "it is connected"
        self._unsent.clear()
        self._transport.close()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._flush()

    def _release(self) -> None:
        self._is_held = False
        self._flush()

    def _flush(self) -> None:
        """Give the transport what it takes: it copies what the socket does not, so never much."""
        assert self._transport is not None, "it is connected"
        while self._unsent and not self._is_full:
            if len(self._unsent[0]) > _MOST_BYTES:
                now, self._unsent[0] = self._unsent[0][:_MOST_BYTES], self._unsent[0][_MOST_BYTES:]
                self._transport.write(now)
            else:
                self._transport.write(b"".join(self._take_small()))

    def _take_small(self) -> Iterator[memoryview]:
        num_bytes = 0
        while self._unsent and num_bytes + len(self._unsent[0]) <= _MOST_BYTES:
            num_bytes += len(self._unsent[0])
            yield self._unsent.popleft()

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
        self._unsent.clear()  # whole prompts, perhaps, as is what was on its way to us
        self._splitter = FrameSplitter()
        if not self.ended.done():
            self.ended.set_result("ended")


async def open_link(connected: socket.socket) -> FrameLink:
    """The link over one end of a pair of sockets."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(FrameLink, sock=connected)
    return link
