"""What this peer tells of itself when it is asked closely: facts, log, happenings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from ..devices.hardware import read_hardware
from ..fleet.view import FleetView
from ..gossip.ids import NodeId
from ..lasting_clock import lasting_s
from ..node import Node
from ..observing.log_ring import LogPage, LogRing
from ..release import own_release
from .describing import describe_devices, describe_rates
from .facts import (
    EventFacts,
    HappeningList,
    PeerFacts,
    ReadLog,
    RoundTripFacts,
    WatchHappenings,
)

_NUM_EVENTS = 20
# What one report of happenings holds at most: who reads slowly gets the newest report alone.
_NUM_HAPPENINGS = 32
_REST_S = 0.1

RoundTrips = Callable[[], Awaitable[Mapping[NodeId, float]]]


class Teller:
    """Made on the node's loop. `round_trips` are in seconds."""

    def __init__(
        self,
        node: Node,
        log: LogRing,
        view: Callable[[], FleetView],
        round_trips: RoundTrips,
    ) -> None:
        self._node = node
        self._log = log
        self._view = view
        self._round_trips = round_trips
        self._clock = asyncio.get_running_loop().time
        self._began_s = lasting_s()

    async def facts(self) -> PeerFacts:
        node = self._node
        trips, _ = await asyncio.gather(self._round_trips(), node.freshen())
        names = [each.name for each in read_hardware(node.config).devices]
        now_s = self._clock()
        view = self._view()
        return PeerFacts(
            node=view.me.node.hex(),
            name=view.me.name,
            version=own_release(),
            uptime_s=round(lasting_s() - self._began_s, 1),
            api=view.me.api,
            key_id=view.me.key_used,
            devices=describe_devices(node.config, names, node.placement, node.gpus),
            rates=describe_rates(node.recent, now_s, node.placement, node.health),
            round_trips=tuple(_round_trips(view, trips)),
            events=tuple(
                EventFacts(one.time_s, f"{one.about} {one.text}" if one.about else one.text)
                for one in node.chronicle.latest(_NUM_EVENTS)
            ),
        )

    def log(self, order: ReadLog) -> LogPage:
        """Of a level that nobody knows it tells all."""
        level = logging.getLevelNamesMapping().get(order.level.upper(), logging.DEBUG)
        return self._log.page(order.after, order.since_s, level, order.age_s)

    async def happenings(self, order: WatchHappenings) -> AsyncGenerator[HappeningList]:
        chronicle, changed = self._node.chronicle, asyncio.Event()
        end = chronicle.watch(changed.set)
        try:
            with self._node.watched():  # a dashboard listens to all peers that it shows
                while True:
                    changed.clear()
                    latest = chronicle.latest(_NUM_HAPPENINGS, own_only=not order.is_whole)
                    yield HappeningList(tuple(latest))
                    await changed.wait()
                    await asyncio.sleep(_REST_S)
        finally:
            end()


def _round_trips(view: FleetView, trips: Mapping[NodeId, float]) -> list[RoundTripFacts]:
    return [
        RoundTripFacts(peer.name, round(trips[peer.node] * 1000, 2))
        for peer in view.peers
        if peer.node in trips and not peer.is_self
    ]
