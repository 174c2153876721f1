"""Sockets that listen, and apps behind them. Which app, and for how long, is known elsewhere."""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from ..api.connection import Connection
from ..api.lobby import Lobby
from ..bounds.limits import ConnectionLimits
from ..config import DEFAULT_PORT, NUM_DEFAULT_PORTS
from ..errors import CannotListen, PortInUse
from ..port_holder import in_use
from .threshold import Threshold

# What handlers of a peer that stops at once get to clean up after themselves.
_FAREWELL_S = 1.0
_BACKLOG = 128
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Door:
    """A socket that listens; with `trust` only those come in whose certificate it takes."""

    listener: socket.socket
    trust: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """A door that is open."""

    shut: Callable[[], object]
    lobby: Lobby

    def close(self) -> None:
        """Let nobody more in. Who is in is answered once more, and asks again elsewhere."""
        self.shut()
        self.lobby.close()

    async def quiet(self) -> None:
        """Return when nobody is in, after `close`, who may still ask."""
        while True:
            if not self.lobby.is_resting:
                return
            await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def opened(
    app: web.Application, limits: ConnectionLimits, *doors: Door
) -> AsyncGenerator[tuple[Gate, ...]]:
    """The app behind the sockets while the block lasts; each has its own places."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=_FAREWELL_S)
    await runner.setup()
    try:
        async with AsyncExitStack() as stack:
            gates = [
                await stack.enter_async_context(_open_gate(runner, door, limits)) for door in doors
            ]
            yield tuple(gates)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _open_gate(
    runner: web.AppRunner, door: Door, limits: ConnectionLimits
) -> AsyncGenerator[Gate]:
    """Let connections in. Their kind is ours, so no aiohttp site does it."""
    assert runner.server is not None, "the runner has been set up"
    loop = asyncio.get_running_loop()
    lobby = Lobby(limits.max_connections)
    connect = functools.partial(Connection, runner.server, loop, limits, lobby)
    if door.trust is None:
        server = await loop.create_server(connect, sock=door.listener, backlog=_BACKLOG)
        try:
            yield Gate(server.close, lobby)
        finally:
            server.close()
        return
    door.listener.listen(_BACKLOG)
    threshold = Threshold(door.listener, door.trust, connect)
    letting_in = asyncio.create_task(threshold.run(), name="threshold")
    # Who comes afterwards is refused by the kernel at once, and asks elsewhere.
    letting_in.add_done_callback(lambda _: door.listener.close())
    try:
        yield Gate(letting_in.cancel, lobby)
    finally:
        letting_in.cancel()
        await asyncio.wait({letting_in})


def listen(
    host: str, port: int | None, default_port: int = DEFAULT_PORT, option: str = "--port"
) -> socket.socket:
    """A listening socket; port None is the default one, or the next free one that is odd or even as
    it is: the others are somebody else's.

    `option` names the port. Raises PortInUse for a port that was asked for, CannotListen for any
    other reason.
    """
    if port is not None:
        return _listen_on(host, port, option)
    last = default_port + 2 * (NUM_DEFAULT_PORTS - 1)
    for candidate in range(default_port, last + 1, 2):
        try:
            return _listen_on(host, candidate, option)
        except PortInUse:
            continue
    raise PortInUse(
        f"ports {default_port}, {default_port + 2} and so on to {last} on {host} are all in use",
        f"choose another with {option}",
    )


def _listen_on(host: str, port: int, option: str) -> socket.socket:
    if not 0 <= port <= 65535:
        raise CannotListen(f"{port} is no port", "ports are 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} {in_use(port)}",
                f"choose another with {option}, or leave {option} out for the next free one",
            ) from None
        place = f"{host} port {port}" if port else host
        raise CannotListen(
            f"cannot listen on {place}: {error.strerror or error}",
            f"name an address of this machine with {option.removesuffix('port')}host, such as"
            " 127.0.0.1",
        ) from None
