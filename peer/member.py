"""A node as a member of its fleet: the thread that gossips, the hops, the leases and the router,
put together around it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from .config import FleetConfig
from .devices.hardware import look_at_hardware, read_system
from .fleet.comings import chronicler
from .fleet.own import Reporter
from .fleet.telling import About
from .fleet.thread import FleetThread, gossiping
from .fleet.trust import host_name
from .fleet.udp import FleetSockets
from .gossip.ids import NodeId
from .gossip.records import Address
from .hop.dialling import Dialler
from .hop.host import HopHost
from .hop.link import NodeOf
from .hop.pool import HopPool
from .jobs import Jobs
from .keys.following import KeyFollower
from .keys.keyring import Keyring
from .keys.keyring_file import first_keyring
from .node import Node
from .observing.log_ring import LogRing
from .orders.control import Control
from .orders.desk import OrderDesk
from .orders.teller import Teller
from .placement.planning import Known, known_by
from .release import own_release
from .routing.ingress import Ingress
from .routing.leases import Leases

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """`ingress` answers for the whole fleet, and `control` passes on what its peers are ordered.
    The fleet's port serves `routes` beside the API's.
    """

    fleet: FleetThread
    ingress: Ingress
    host: HopHost
    control: Control
    keys: KeyFollower
    # Told when the keys have changed: which certificates still count.
    rechecks: list[Callable[[NodeOf], None]]

    @property
    def node_of(self) -> NodeOf:
        return self.fleet.trust.node_of

    def routes(self) -> Sequence[web.RouteDef]:
        return (*self.fleet.routes(), *self.host.routes())

    async def leave(self) -> None:
        """Have what is still under way for others taken elsewhere, and say goodbye."""
        await self.host.leave()
        await self.fleet.leave()


@asynccontextmanager
async def member_of(
    config: FleetConfig, node: Node, sockets: FleetSockets, api: str, log: LogRing
) -> AsyncGenerator[Member]:
    """A member while the block lasts; `api` is where its public API listens, `log` what it has
    logged of late.

    Raises what the files of keys and identity are refused with.
    """
    keyring, _ = await asyncio.to_thread(first_keyring, config.key_file, os.urandom)
    clock = asyncio.get_running_loop().time
    about = About(
        build=own_release(),
        system=read_system(),
        api=api,
        roles=("gateway",) if node.config.is_gateway else (),
        hardware=await look_at_hardware(
            node.config, [each.budget_bytes for each in node.placement.devices]
        ),
    )
    async with gossiping(config, node.config.locations, keyring, sockets, about) as fleet:

        def addresses_of(peer: NodeId) -> Sequence[Address]:
            seen = fleet.view.peer(peer)
            return () if seen is None else seen.addresses

        dialler = Dialler(addresses_of, fleet.trust.client_context, host_name, fleet.round_trip_s)
        async with (
            HopPool(dialler, fleet.doubt) as hops,
            Jobs(lambda: fleet.view.self_node) as jobs,
        ):

            def known() -> Known:
                return known_by(node.config, node.history.eta_at_s)

            leases = Leases(fleet, hops, known, clock)
            ingress = Ingress(node, fleet, hops, leases, eta_s=node.history.eta_s)
            teller = Teller(node, log, lambda: fleet.view, fleet.round_trips)
            desk = OrderDesk(node, node.steering, jobs, teller)
            host = HopHost(config.name, node, leases.answer, desk.carry_out)
            rechecks = [host.recheck, hops.recheck]

            def rekey(changed: Keyring) -> None:
                fleet.rekey(changed)
                for recheck in rechecks:
                    recheck(fleet.trust.node_of)

            keys = KeyFollower(config.key_file, keyring, rekey, fleet)
            tasks = {
                asyncio.create_task(keys.run(), name="keys"),
                asyncio.create_task(Reporter(node, fleet, clock).run(), name="report"),
            }
            for task in tasks:
                task.add_done_callback(say_why)
            note = chronicler(node.chronicle)
            note(fleet.view)
            end_watch = fleet.watch(note)
            try:
                control = Control(node, desk, fleet, hops, ingress.catalogue)
                yield Member(fleet, ingress, host, control, keys, rechecks)
            finally:
                end_watch()
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)


def say_why(task: asyncio.Task[None]) -> None:
    """Neither ends by itself, but by a bug: the peer answers on, and its log says so."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("task ended name=%s", task.get_name(), exc_info=error)
