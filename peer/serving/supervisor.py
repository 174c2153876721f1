"""What the service manager is told that started this peer, where one did: systemd's protocol.

Datagrams of `NAME=value` lines, see sd_notify(3). That the peer is alive is said from its own loop,
so that a loop which answers nobody says nothing either, and the manager starts another peer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

logger = logging.getLogger(__name__)

# sd_watchdog_enabled(3) asks for half; a third leaves room for a slow second.
_PARTS_OF_SILENCE = 3
# A drain is bounded; saying goodbye and ending the engines takes a few seconds more.
AFTER_DRAIN_S = 15


@dataclass(frozen=True, slots=True)
class Supervisor:
    """`address` is a Unix socket's path, or an abstract one behind an @. Who says nothing for
    `silence_s` is taken for dead.
    """

    address: str
    silence_s: float | None = None

    def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self, drain_s: float) -> None:
        """A drain of that bound begins, which the manager may know as a shorter one."""
        more_us = int((drain_s + AFTER_DRAIN_S) * 1e6)
        status = "STATUS=answers what is under way, and takes nothing new"
        self._tell("STOPPING=1", status, f"EXTEND_TIMEOUT_USEC={more_us}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.setblocking(False)
                to.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            logger.warning("supervisor not told error=%s", error.strerror or error)


@asynccontextmanager
async def watched(by: Supervisor | None) -> AsyncGenerator[None]:
    """Say that this peer is alive while the block lasts, as often as its supervisor wants it."""
    if by is None or by.silence_s is None:
        yield
        return
    beating = asyncio.create_task(_beat(by, by.silence_s / _PARTS_OF_SILENCE), name="watchdog")
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait({beating})


async def _beat(by: Supervisor, every_s: float) -> None:
    while True:
        by.alive()
        await asyncio.sleep(every_s)
