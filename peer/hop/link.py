"""One end of a connection between two peers, the same on either side.

It carries messages both ways, beats where there is nothing to say, and ends where the other side
closes, falls silent, sends what is not ours or does not read. What messages mean is known
elsewhere.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeAlias

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from cortex.engine.errors import CortexError
from cortex.engine.frames import FrameError

from ..gossip.ids import NodeId
from ..heavy import off_loop
from .frames import unpack
from .messages import Beat, Cancel, Message, Part, Slice
from .outbox import SLICE_BYTES, Outbox
from .slices import Assembler

logger = logging.getLogger(__name__)

# Silence is counted in ticks that this loop really ran: a peer that was itself held up (a busy or
# suspended machine) does not blame others for it.
TICK_S = 0.5
SILENT_TICKS = 5
# The longest message of a socket that is taken: the slices of other versions may be longer.
MAX_SOCKET_MESSAGE_BYTES = 512 * 1024
# One that lets so many messages wait does not read.
_MOST_WAITING = 4096
CLOSED_HERE = "was closed here"
SILENT = "said nothing"
# What a farewell may take, of a socket or of the other side.
FAREWELL_S = 0.5

Socket: TypeAlias = web.WebSocketResponse | ClientWebSocketResponse
# Which member showed this certificate, as sockets give it; None for none.
NodeOf = Callable[[Mapping[str, Any] | None], NodeId | None]


class Ear(Protocol):
    """Whoever hears what comes over a link."""

    def hear(self, message: Message, size_bytes: int) -> None: ...

    def refuse(self, piece: Slice, error: CortexError) -> None:
        """A long message was not taken in."""
        ...

    def tick(self) -> None:
        """Half a second has passed."""
        ...

    def end(self, why: str) -> None:
        """Nothing more is heard or carried: called at once, before any farewell."""
        ...


class HopLink:
    def __init__(
        self, socket: Socket, ear: Ear, assembler: Assembler, tick_s: float = TICK_S
    ) -> None:
        self._socket = socket
        self._ear = ear
        self._assembler = assembler
        self._tick_s = tick_s
        self._outbox = Outbox()
        self._num_heard = 0
        self._num_sent = 0
        self._filled = asyncio.Event()
        # Whether the socket takes more.
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._is_finishing = False
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Carry messages until the end."""
        loops = [
            asyncio.create_task(self._until_end(work))
            for work in (self._read(), self._write(), self._watch())
        ]
        try:
            await asyncio.shield(self._ended)
        finally:
            self.close(CLOSED_HERE)
            self._ear.end(self._ended.result())
            for loop in loops:
                loop.cancel()
            try:
                await asyncio.wait(loops)
            finally:  # a pool that ends does not wait for farewells
                self._assembler.close()
                await self._close_socket()

    def post(self, message: Message) -> None:
        """Send, without waiting. After the end it says nothing."""
        if self._ended.done():
            return
        self._outbox.put(message)
        self._filled.set()
        if self._outbox.num_waiting > _MOST_WAITING:
            self.close("did not read")

    def post_request(self, frame: bytes, request_id: str) -> None:
        """`post`, for a message that was packed elsewhere because it may be long."""
        if not self._ended.done():
            self._outbox.put_request(frame, request_id)
            self._filled.set()

    def withdraw(self, request_id: str) -> None:
        """What of a long request has not gone yet is not to go."""
        self._outbox.withdraw(request_id)

    async def put_part(self, part: Part) -> None:
        """Send; all parts of one turn of the loop go in one message.

        Waits while the socket is full: whoever makes parts is to make no more of them.
        """
        await self._is_free.wait()
        self._outbox.put_part(part)
        self._filled.set()

    def finish(self) -> None:
        """End once everything has been sent."""
        self._is_finishing = True
        self._filled.set()

    def recheck(self, node_of: NodeOf) -> None:
        """The keys have changed: end where the other side's certificate is no member's now."""
        if node_of(self._socket.get_extra_info("peercert")) is None:
            self.close("is no member of the fleet any more")

    def close(self, why: str) -> None:
        """End now."""
        if not self._ended.done():
            self._ended.set_result(why)

    async def _until_end(self, work: Coroutine[Any, Any, str]) -> None:
        try:
            self.close(await work)
        except FrameError as error:
            self.close(f"sent {error.message}")
        except ConnectionError:
            self.close("broke")
        except Exception as error:
            # A bug of ours: this connection goes, the peer stays. The error's text may hold
            # client data.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("hop misread\n%s", where)
            self.close(f"was misunderstood ({type(error).__name__})")

    async def _read(self) -> str:
        while True:
            received = await self._socket.receive()
            if received.type is not WSMsgType.BINARY:
                return _ending(received.type)
            self._num_heard += 1
            await self._take(received.data)

    async def _take(self, data: bytes) -> None:
        message, size_bytes = unpack(data), len(data)
        if isinstance(message, Slice):
            whole = self._assembled(message)
            if whole is None:
                return
            size_bytes = len(whole)
            message = await off_loop(size_bytes, functools.partial(unpack, whole))
        if isinstance(message, Cancel):
            self._assembler.forget(message.request_id)
        if not (message is None or isinstance(message, Beat | Slice)):
            self._ear.hear(message, size_bytes)

    def _assembled(self, piece: Slice) -> bytearray | None:
        try:
            return self._assembler.add(piece)
        except FrameError:
            raise
        except CortexError as error:
            self._ear.refuse(piece, error)
            return None

    async def _write(self) -> str:
        while not self._is_finishing:
            await self._filled.wait()
            self._filled.clear()
            self._is_free.clear()
            while (frame := self._outbox.take()) is not None:
                await self._socket.send_bytes(frame)
                self._num_sent += 1
                if len(frame) > SLICE_BYTES:
                    await asyncio.sleep(0)  # a write that meets no resistance lets nobody else run
            self._is_free.set()
        return "said goodbye"

    async def _watch(self) -> str:
        silent_ticks, num_heard, num_sent = 0, 0, 0
        while silent_ticks < SILENT_TICKS:
            await asyncio.sleep(self._tick_s)
            silent_ticks = silent_ticks + 1 if self._num_heard == num_heard else 0
            if self._num_sent == num_sent and self._is_free.is_set():
                self.post(Beat())
            num_heard, num_sent = self._num_heard, self._num_sent
            self._ear.tick()
        return f"{SILENT} for {SILENT_TICKS * self._tick_s:g} s"

    async def _close_socket(self) -> None:
        try:
            async with asyncio.timeout(2 * FAREWELL_S):
                await self._socket.close()
        except (TimeoutError, ConnectionError):
            pass  # it does not read, or is gone: either way there is nobody to say it to


def _ending(kind: WSMsgType) -> str:
    if kind is WSMsgType.TEXT:
        return "sent text"
    return "sent what is no message" if kind is WSMsgType.ERROR else "closed"
