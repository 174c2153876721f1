"""A node with an address: the port, the note for local commands, the signals, the end.

First signal: no new connections, requests under way end, within a bound. Second: stop now.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import web

from cortex.engine.heap import give_large_blocks_back

from .access import ApiKey, digest_of, make_key
from .announcement import Announcement, announced
from .api.app import make_app
from .api.connection import Connection
from .api.lobby import Lobby
from .config import DEFAULT_PORT, NUM_DEFAULT_PORTS, PeerConfig
from .errors import CannotListen, PortInUse
from .limits import ConnectionLimits
from .node import Node
from .process import Spawn, spawn

logger = logging.getLogger(__name__)

# What handlers of a peer that stops at once get to clean up after themselves.
_FAREWELL_S = 1.0
_BACKLOG = 128
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Server:
    """A peer that answers. `address` is HOST:PORT as a local client writes it."""

    node: Node
    host: str
    port: int
    gate: asyncio.Server

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def drain(self) -> None:
        """Take nothing new; return when what is under way has ended."""
        self.gate.close()
        await self.node.drained()


@asynccontextmanager
async def serving(config: PeerConfig, spawn: Spawn = spawn) -> AsyncGenerator[Server]:
    """A peer on its port for as long as the block lasts; `spawn` starts its children.

    Raises PortInUse or CannotListen before anything is started.
    """
    listener = listen(config.host, config.port)
    with listener:
        host, port = _WILDCARDS.get(config.host, config.host), listener.getsockname()[1]
        config, key = _with_local_key(config)
        note = Announcement(secrets.token_hex(6), os.getpid(), host, port, int(time.time()), key)
        async with Node(config, spawn) as node:
            node.wake()
            runner = web.AppRunner(
                make_app(node), handler_cancellation=True, shutdown_timeout=_FAREWELL_S
            )
            await runner.setup()
            gate = await _open_gate(runner, listener, config.connections)
            try:
                with announced(config.locations.announcements_dir, note):
                    yield Server(node, host, port, gate)
            finally:
                gate.close()
                await runner.cleanup()


def _with_local_key(config: PeerConfig) -> tuple[PeerConfig, str | None]:
    """Where keys are wanted, one more for whoever may read this peer's note: its own machine."""
    if not config.keys:
        return config, None
    text = make_key(secrets.token_bytes(32))
    local = ApiKey("local", digest_of(text), is_admin=True)
    return replace(config, admin_keys=(*config.admin_keys, local)), text


async def _open_gate(
    runner: web.AppRunner, listener: socket.socket, limits: ConnectionLimits
) -> asyncio.Server:
    """Let connections in. Their kind is ours, so no aiohttp site does it."""
    assert runner.server is not None, "the runner has been set up"
    loop = asyncio.get_running_loop()
    lobby = Lobby(limits.max_connections)
    connect = functools.partial(Connection, runner.server, loop, limits, lobby)
    return await loop.create_server(connect, sock=listener, backlog=_BACKLOG)


async def run_peer(
    config: PeerConfig,
    *,
    on_ready: Callable[[Server], None],
    on_notice: Callable[[str], None],
) -> signal.Signals:
    """Be a peer until a signal says otherwise; returns the signal that began the end."""
    give_large_blocks_back()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    for number in caught:
        loop.add_signal_handler(number, signals.put_nowait, number)
    ending = asyncio.create_task(signals.get())
    try:
        async with serving(config) as server:
            if config.port is None and server.port != DEFAULT_PORT:
                on_notice(f"port {DEFAULT_PORT} is busy: using {server.port}")
            if await _preload(server.node, ending):
                on_ready(server)
            first = await ending
            await _drain(server, signals, on_notice)
            return first
    finally:
        ending.cancel()
        for number in caught:
            loop.remove_signal_handler(number)


async def _preload(node: Node, ending: asyncio.Task[signal.Signals]) -> bool:
    """Load what the config names; False where a signal came first."""

    async def load_all() -> None:
        for model_id in node.config.preload:
            await node.preload(model_id)

    loading = asyncio.create_task(load_all())
    try:
        await asyncio.wait({loading, ending}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            return False
        loading.result()
        return True
    finally:
        loading.cancel()
        await asyncio.wait({loading})


async def _drain(
    server: Server, signals: asyncio.Queue[signal.Signals], on_notice: Callable[[str], None]
) -> None:
    """Let requests end; the bound, or a second signal, ends them all."""
    live, bound_s = server.node.health.live_requests, server.node.config.drain_s
    if live:
        what = "1 request finishes" if live == 1 else f"{live} requests finish"
        on_notice(f"draining: {what}, {bound_s:g} s at most; again to stop now")
    draining = asyncio.create_task(server.drain())
    interrupted = asyncio.create_task(signals.get())
    try:
        await asyncio.wait(
            {draining, interrupted}, timeout=bound_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        draining.cancel()
        interrupted.cancel()
        await asyncio.wait({draining, interrupted})


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket; port None is the default one, or the next odd one that is free: the even
    ones are the fleet's.

    Raises PortInUse for a port that was asked for, CannotListen for any other reason.
    """
    if port is not None:
        return _listen_on(host, port)
    last = DEFAULT_PORT + 2 * (NUM_DEFAULT_PORTS - 1)
    for candidate in range(DEFAULT_PORT, last + 1, 2):
        try:
            return _listen_on(host, candidate)
        except PortInUse:
            continue
    raise PortInUse(
        f"the odd ports {DEFAULT_PORT} to {last} on {host} are all in use",
        "choose another with --port",
    )


def _listen_on(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise CannotListen(f"{port} is no port", "ports are 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use",
                "choose another with --port, or leave --port out for the next free one",
            ) from None
        raise CannotListen(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            "name an address of this machine with --host, such as 127.0.0.1",
        ) from None
