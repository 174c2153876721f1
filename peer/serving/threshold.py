"""A door that only certificates open: who has not shown one yet costs memory and an open file, so
that they are few, few of each address, and not for long. The oldest gives way to the next.

Who is inside is known elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

logger = logging.getLogger(__name__)

_MAX_WAITING = 128
_MAX_WAITING_OF_ONE = 16
_HANDSHAKE_S = 5.0
# A system that has no more files for us has some again soon.
_REST_S = 1.0


class Threshold:
    """`connect` makes what serves a connection once its certificate has been taken."""

    def __init__(
        self,
        listener: socket.socket,
        trust: ssl.SSLContext,
        connect: Callable[[], asyncio.Protocol],
        handshake_s: float = _HANDSHAKE_S,
    ) -> None:
        self._listener = listener
        self._trust = trust
        self._connect = connect
        self._handshake_s = handshake_s
        # In the order of their coming, with where they come from.
        self._waiting: dict[asyncio.Task[None], str] = {}

    async def run(self) -> None:
        """Let connections in until cancelled."""
        self._listener.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as handshakes:
            while True:
                try:
                    connection, (address, *_) = await loop.sock_accept(self._listener)
                except ConnectionAbortedError:
                    continue
                except OSError as error:
                    logger.warning("no connection taken error=%s", error.strerror or error)
                    await asyncio.sleep(_REST_S)
                    continue
                self._make_room(address)
                task = handshakes.create_task(self._greet(connection))
                self._waiting[task] = address
                task.add_done_callback(lambda done: self._waiting.pop(done, None))

    def _make_room(self, address: str) -> None:
        of_one = [task for task, its in self._waiting.items() if its == address]
        crowd = of_one if len(of_one) >= _MAX_WAITING_OF_ONE else list(self._waiting)
        if crowd is of_one or len(crowd) >= _MAX_WAITING:
            del self._waiting[crowd[0]]
            crowd[0].cancel()

    async def _greet(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connect,
                connection,
                ssl=self._trust,
                ssl_handshake_timeout=self._handshake_s,
            )
        except Exception as error:  # whatever they sent: nobody came in
            logger.debug("handshake failed error=%s", type(error).__name__)
