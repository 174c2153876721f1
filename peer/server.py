"""A node with an address: the port, the note for local commands, the signals, the end.

First signal: no new connections, requests under way end, within a bound. Second: stop now.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from cortex.engine.heap import give_large_blocks_back

from .access import ApiKey, digest_of, make_key
from .announcement import Announcement, announced
from .api.app import make_app
from .config import METRICS_PORT, PeerConfig
from .fleet.view import FleetView
from .listening import listen, opened
from .metrics_gate import listen_for_numbers, telling_numbers
from .node import Node
from .process import Spawn, spawn

logger = logging.getLogger(__name__)

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Server:
    """A peer that answers. `address` is HOST:PORT as a local client writes it.

    `metrics_port` is the port where its numbers alone are told, if there is one.
    """

    node: Node
    host: str
    port: int
    gate: asyncio.Server
    metrics_port: int | None = None

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
    listener = listen(config.host, config.port, config.default_port)
    with listener, listen_for_numbers(config) as numbers:
        host, port = _WILDCARDS.get(config.host, config.host), listener.getsockname()[1]
        config, key = _with_local_key(config)
        note = Announcement(secrets.token_hex(6), os.getpid(), host, port, int(time.time()), key)
        async with Node(config, spawn) as node:
            node.wake()
            app = make_app(node)
            async with (
                telling_numbers(app, numbers, config.connections) as metrics_port,
                opened(app, listener, config.connections) as gate,
            ):
                with announced(config.locations.announcements_dir, note):
                    yield Server(node, host, port, gate, metrics_port)


def _with_local_key(config: PeerConfig) -> tuple[PeerConfig, str | None]:
    """Where keys are wanted, one more for whoever may read this peer's note: its own machine."""
    if not config.keys:
        return config, None
    text = make_key(secrets.token_bytes(32))
    local = ApiKey("local", digest_of(text), is_admin=True)
    return replace(config, admin_keys=(*config.admin_keys, local)), text


async def run_peer(
    config: PeerConfig,
    *,
    on_ready: Callable[[Server], None],
    on_notice: Callable[[str], None],
    on_view: Callable[[FleetView], None],
) -> signal.Signals:
    """Be a peer until a signal says otherwise; returns the signal that began the end.

    `on_view` is told of each change of the fleet.
    """
    give_large_blocks_back()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    for number in caught:
        loop.add_signal_handler(number, signals.put_nowait, number)
    ending = asyncio.create_task(signals.get())
    try:
        async with serving(config) as server:
            for line in _ports_given_way(config, server):
                on_notice(line)
            if await _preload(server.node, ending):
                on_ready(server)
            first = await ending
            await _drain(server, signals, on_notice)
            return first
    finally:
        ending.cancel()
        for number in caught:
            loop.remove_signal_handler(number)


def _ports_given_way(config: PeerConfig, server: Server) -> Iterator[str]:
    """Said of default ports: those that were asked for are taken, or an error."""
    if config.port is None and server.port != config.default_port:
        yield f"port {config.default_port} is busy: using {server.port}"
    if config.metrics_port is None and server.metrics_port not in (None, METRICS_PORT):
        yield f"port {METRICS_PORT} is busy: telling numbers on {server.metrics_port}"


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
