"""A door that only certificates open: who has not shown one yet costs memory and an open file, so
that they are few, few of each address, and not for long. The oldest gives way to the next, once it
has had its while; until then whoever finds the place full stays in the kernel's queue. Where it is
one address that fills the place, its oldest gives way at once: nobody keeps all others out.

Who is inside is known elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable

logger = logging.getLogger(__name__)

_MAX_WAITING = 128
_MAX_WAITING_OF_ONE = 16
_HANDSHAKE_S = 5.0
# What everybody has to show a certificate, however many come at once after a pause of ours.
_WHILE_S = 1.0
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
        # In the order of their coming: from where, and when on the loop's clock.
        self._waiting: dict[asyncio.Task[None], tuple[str, float]] = {}

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
                self._send_away_of(address)
                try:
                    await self._room()
                except asyncio.CancelledError:
                    connection.close()
                    raise
                task = handshakes.create_task(self._greet(connection))
                self._waiting[task] = address, loop.time()
                task.add_done_callback(lambda done: self._waiting.pop(done, None))
                # An accept that finds somebody never waits: the others of the loop would.
                await asyncio.sleep(0)

    async def _room(self) -> None:
        """Return when there is room for one more, of whatever address."""
        while len(self._waiting) >= _MAX_WAITING:
            if (crowding := self._oldest_of_a_crowd()) is not None:
                self._send_away(crowding)
                continue
            oldest, (_, came_s) = next(iter(self._waiting.items()))
            left_s = self._while_left_s(came_s)
            if left_s <= 0:
                self._send_away(oldest)
            else:
                await asyncio.wait(
                    self._waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
                )

    def _oldest_of_a_crowd(self) -> asyncio.Task[None] | None:
        """Of the address that most are of, where it has more than few."""
        of_each = Counter(address for address, _ in self._waiting.values())
        [(most, num_waiting)] = of_each.most_common(1)
        if num_waiting <= _MAX_WAITING_OF_ONE:
            return None
        return next(task for task, (address, _) in self._waiting.items() if address == most)

    def _send_away_of(self, address: str) -> None:
        """Keep few of that address, whose youngest do not count."""
        of_one = [(task, came_s) for task, (its, came_s) in self._waiting.items() if its == address]
        for task, came_s in of_one[: max(0, len(of_one) + 1 - _MAX_WAITING_OF_ONE)]:
            if self._while_left_s(came_s) <= 0:
                self._send_away(task)

    def _while_left_s(self, came_s: float) -> float:
        return came_s + _WHILE_S - asyncio.get_running_loop().time()

    def _send_away(self, task: asyncio.Task[None]) -> None:
        del self._waiting[task]
        task.cancel()

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
