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
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace

from cortex.engine.core_dumps import leave_no_core_dump
from cortex.engine.errors import CortexError
from cortex.engine.heap import give_large_blocks_back

from ..addresses import authority
from ..api.app import make_app
from ..children.process import Spawn, spawn
from ..config import FLEET_PORT, METRICS_PORT, FleetConfig, PeerConfig
from ..fleet.udp import bind_fleet
from ..fleet.view import FleetView
from ..keys.access import ApiKey, digest_of, make_key
from ..member import Member, member_of, say_why
from ..models.shelf import AT_LENGTH_S
from ..node import Node
from ..observing.chronicle import Happening
from ..observing.log_ring import LogRing
from .announcement import Announcement, announced
from .listening import Door, Gate, listen, opened
from .metrics_gate import listen_for_numbers, telling_numbers
from .open_files import allow_open_files
from .reloading import Follower, SettingsFiles
from .signals import heeded
from .state_lock import only_peer_of
from .supervisor import Supervisor, watched

logger = logging.getLogger(__name__)

# Within that time a request that has come is known to be there.
_SETTLES_S = 0.02
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Server:
    """A peer that answers. `address` is HOST:PORT as a local client writes it.

    `metrics_port` is the port where its numbers alone are told, if there is one. `local_key` is
    that of commands on this machine.
    """

    node: Node
    member: Member
    host: str
    port: int
    fleet_port: int
    gate: Gate
    local_key: ApiKey
    metrics_port: int | None = None

    @property
    def address(self) -> str:
        return authority(self.host, self.port)

    async def drain(self) -> None:
        """Take nothing new; return when what is under way has ended."""
        self.gate.close()
        await self.node.drained()
        num_quiet = 0
        while num_quiet < 2:  # one that has just come is no request yet
            await self.gate.quiet()
            await self.member.ingress.idle()
            await asyncio.sleep(_SETTLES_S)
            is_quiet = not any(self.node.live) and not self.gate.lobby.is_resting
            num_quiet = num_quiet + 1 if is_quiet else 0

    async def reconfigure(self, config: PeerConfig) -> None:
        """What holds from now on; where it listens is not asked again."""
        await self.node.reconfigure(_with(self.local_key, config))
        self.member.fleet.seek(_fleet_of(config).join)

    async def leave(self) -> None:
        """Have the rest taken up elsewhere, and say goodbye to the fleet."""
        await self.member.leave()


@asynccontextmanager
async def serving(config: PeerConfig, spawn: Spawn = spawn) -> AsyncGenerator[Server]:
    """A peer on its port for as long as the block lasts; `spawn` starts its children.

    Raises StateInUse, PortInUse or CannotListen before anything is started.
    """
    fleet = _fleet_of(config)
    with (
        only_peer_of(config.locations.state_dir),
        listen(config.host, config.port, config.default_port) as listener,
        listen_for_numbers(config) as numbers,
        closing(bind_fleet(fleet.host, fleet.port)) as sockets,
        (log := LogRing()).listening(),
    ):
        host, port = _WILDCARDS.get(config.host, config.host), listener.getsockname()[1]
        key = make_key(secrets.token_bytes(32))
        local = ApiKey("local", digest_of(key), is_admin=True)
        config = _with(local, config)
        note = Announcement(secrets.token_hex(6), os.getpid(), host, port, int(time.time()), key)
        async with Node(config, spawn) as node, AsyncExitStack() as stack:
            node.wake()
            api = authority(config.host or "0.0.0.0", port)
            member = await stack.enter_async_context(member_of(fleet, node, sockets, api, log))
            doors = Door(listener), Door(sockets.tcp, member.fleet.trust.server_context())
            app = make_app(node, member)
            metrics_port = await stack.enter_async_context(
                telling_numbers(app, numbers, config.connections)
            )
            gates = await stack.enter_async_context(opened(app, config.connections, *doors))
            member.rechecks.append(gates[1].lobby.recheck)
            for folder in config.locations.note_dirs:
                stack.enter_context(announced(folder, note))
            yield Server(node, member, host, port, sockets.port, gates[0], local, metrics_port)


def _fleet_of(config: PeerConfig) -> FleetConfig:
    assert config.fleet is not None, "a peer that is served is of a fleet"
    return config.fleet


def _with(local: ApiKey, config: PeerConfig) -> PeerConfig:
    """The key of whoever may read this peer's note, its own machine, beside the config's own.

    It locks nobody out: without others the peer stays open. One is always there, for keys may come
    later.
    """
    return replace(config, admin_keys=(*config.admin_keys, local))


async def run_peer(
    config: PeerConfig,
    *,
    on_ready: Callable[[Server], None],
    on_notice: Callable[[str], None],
    on_view: Callable[[FleetView], None],
    on_happening: Callable[[Happening], None],
    files: SettingsFiles | None = None,
    supervisor: Supervisor | None = None,
) -> signal.Signals:
    """Be a peer until a signal says otherwise; returns the signal that began the end.

    It is ready when it answers: what is loaded from the start comes after that. `on_view` is told
    of each change of the fleet, `on_happening` of all that happens. What changes in the `files` is
    taken up.
    """
    give_large_blocks_back()
    allow_open_files()
    leave_no_core_dump()
    with heeded() as signals:
        async with serving(config) as server, watched(supervisor):
            for line in _ports_given_way(config, server):
                on_notice(line)
            on_view(server.member.fleet.view)
            server.member.fleet.watch(on_view)
            server.node.chronicle.tell(on_happening)
            await _check_preload(server.node)
            on_ready(server)
            if supervisor is not None:
                supervisor.ready(f"answers at http://{server.address}")
            async with _following(server, files, signals.reload):
                await _preload(server.node, signals.first, on_notice)
                first = await signals.first
            if supervisor is not None:
                supervisor.stopping(server.node.config.drain_s)
            await _drain(server, signals.again, on_notice)
            await server.leave()
            return first


@asynccontextmanager
async def _following(
    server: Server, files: SettingsFiles | None, reload: asyncio.Event
) -> AsyncGenerator[None]:
    """Take up what changes in the files while the block lasts, and at once where that is set."""
    if files is None:
        yield
        return
    follower = Follower(files, server.reconfigure, server.member.fleet, reload)
    following = asyncio.create_task(follower.run(), name="settings")
    following.add_done_callback(say_why)
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait({following})


def _ports_given_way(config: PeerConfig, server: Server) -> Iterator[str]:
    """Said of default ports: those that were asked for are taken, or an error."""
    if config.port is None and server.port != config.default_port:
        yield f"port {config.default_port} is busy: using {server.port}"
    if config.metrics_port is None and server.metrics_port not in (None, METRICS_PORT):
        yield f"port {METRICS_PORT} is busy: telling numbers on {server.metrics_port}"
    if _fleet_of(config).port is None and server.fleet_port != FLEET_PORT:
        yield f"port {FLEET_PORT} is busy: the fleet's is {server.fleet_port}"


async def _check_preload(node: Node) -> None:
    """Raises ModelNotFound. While the disks do not answer nobody knows: `_preload` tells what fails
    later.
    """
    if node.config.preload and node.shelf.is_late:
        await node.shelf.look(AT_LENGTH_S)
    if not node.shelf.is_late:
        for model_id in node.config.preload:
            await node.shelf.find(model_id)


async def _preload(
    node: Node, ending: asyncio.Future[signal.Signals], on_notice: Callable[[str], None]
) -> None:
    """Load what the config names, unless a signal comes first. Who asks for one that cannot be
    loaded now is told why; the others are served meanwhile.
    """

    async def load_all() -> None:
        for model_id in node.config.preload:
            try:
                await node.preload(model_id)
            except CortexError as error:
                logger.warning("preload failed model=%s code=%s", model_id, error.code())
                hint = f" ({error.hint})" if error.hint else ""
                on_notice(f"not loaded at the start: {model_id}: {error.message}{hint}")

    loading = asyncio.create_task(load_all())
    try:
        await asyncio.wait({loading, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            loading.result()
    finally:
        loading.cancel()
        await asyncio.wait({loading})


async def _drain(server: Server, again: asyncio.Event, on_notice: Callable[[str], None]) -> None:
    """Let requests end; the bound, or a second signal, ends them all."""
    live, bound_s = len(server.node.live), server.node.config.drain_s
    if live:
        what = "1 request finishes" if live == 1 else f"{live} requests finish"
        on_notice(f"draining: {what}, {bound_s:g} s at most; again to stop now")
    draining = asyncio.create_task(server.drain())
    interrupted = asyncio.create_task(again.wait())
    try:
        await asyncio.wait(
            {draining, interrupted}, timeout=bound_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        draining.cancel()
        interrupted.cancel()
        await asyncio.wait({draining, interrupted})
