"""Real members of real fleets on the loopback: sockets, threads and TLS, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cortex.engine.errors import InvalidRequest
from cortex.peer.config import FleetConfig, Locations
from cortex.peer.errors import PermissionDenied
from cortex.peer.fleet.telling import About
from cortex.peer.fleet.thread import FleetThread, gossiping
from cortex.peer.fleet.udp import FleetSockets, bind_fleet
from cortex.peer.fleet.view import FleetView, PeerView
from cortex.peer.gossip.messages import SPOKEN, Versions
from cortex.peer.gossip.sections import Device, Hardware
from cortex.peer.gossip.timing import Timing
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring

DEADLINE_S = 20.0
KEYRING = Keyring(new_fleet_key(random.Random(8).randbytes))
# Verdicts in a second or two.
FAST = Timing(
    probe_period_s=0.2,
    direct_timeout_s=0.1,
    ping_gap_s=0.03,
    suspicion_s=0.3,
    last_chance_s=0.2,
    sync_period_s=0.5,
    lonely_seed_period_s=0.2,
    lag_s=2.0,
)


@dataclass(slots=True)
class Member:
    """One peer. `close` ends it without a word."""

    fleet: FleetThread
    sockets: FleetSockets
    stack: AsyncExitStack
    is_closed: bool = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.sockets.port}"

    @property
    def view(self) -> FleetView:
        return self.fleet.view

    def sees(self, other: Member) -> PeerView | None:
        return self.view.peer(other.view.self_node)

    async def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            await self.stack.aclose()

    async def until(self, is_so: Callable[[FleetView], bool]) -> None:
        """Wait until this peer's view is as it ought to be."""
        changed = asyncio.Event()
        end = self.fleet.watch(lambda view: changed.set())
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not is_so(self.view):
                    changed.clear()
                    await changed.wait()
        finally:
            end()

    async def until_sees(self, other: Member, is_so: Callable[[PeerView], bool]) -> PeerView:
        def seen(view: FleetView) -> bool:
            peer = view.peer(other.view.self_node)
            return peer is not None and is_so(peer)

        await self.until(seen)
        peer = self.sees(other)
        assert peer is not None
        return peer


@web.middleware
async def _told(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors become replies, as the peer's own app makes them."""
    try:
        return await handler(request)
    except InvalidRequest:
        return web.Response(status=400)
    except PermissionDenied:
        return web.Response(status=403)


StartMember = Callable[..., Awaitable[Member]]


@pytest.fixture
async def start_member(tmp_path: Path) -> AsyncGenerator[StartMember]:
    """A peer of a fleet, with a server on its fleet port; all end with the test."""
    members: list[Member] = []

    async def start(
        name: str = "peer",
        *join: Member | str,
        keyring: Keyring = KEYRING,
        timing: Timing | None = None,
        port: int = 0,
        state: str | None = None,
        has_mdns: bool = False,
        versions: Versions = SPOKEN,
        **config: Any,
    ) -> Member:
        folder = tmp_path / (state or name)
        stack = AsyncExitStack()
        sockets = bind_fleet("127.0.0.1", port)
        stack.callback(sockets.close)
        seeds = tuple(seed if isinstance(seed, str) else seed.address for seed in join)
        fleet_config = FleetConfig(
            name,
            folder / "fleet.key",
            host="127.0.0.1",
            port=port,
            join=seeds,
            has_mdns=has_mdns,
            **config,
        )
        places = Locations(folder / "data", folder / "state")
        about = About(
            build="1.2.3",
            system="linux",
            api="127.0.0.1:13131",
            hardware=Hardware((Device("a card", 2**34),), 8, 2**35),
            versions=versions,
        )
        fleet = await stack.enter_async_context(
            gossiping(fleet_config, places, keyring, sockets, about, timing)
        )
        app = web.Application(middlewares=[_told])
        app.add_routes(fleet.routes())
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.SockSite(runner, sockets.tcp, ssl_context=fleet.trust.server_context())
        await site.start()
        member = Member(fleet, sockets, stack)
        members.append(member)
        return member

    yield start
    for member in members:
        await member.close()


@pytest.fixture
def fast() -> Timing:
    return FAST


@pytest.fixture
def keyring() -> Keyring:
    return KEYRING
