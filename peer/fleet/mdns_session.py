"""One life of the mDNS library's sockets: told, browsing, until something breaks.

What a record means for the fleet is for `Sightings` to say; when to live again is `mdns.py`'s.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from zeroconf import NonUniqueNameException, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from .beacons import SERVICE_TYPE, Beacon, node_of, read_beacon
from .interfaces import Choice, addresses_to_tell, multicast_on
from .sightings import Hearer, Sightings

# What an instance did not tell at once is asked for, for so long, of so many at a time.
_RESOLVE_MS = 3000
MAX_RESOLVING = 16
# The library keeps a note of each name for a quarter of an hour: a flood of them is swept away.
MAX_NAMES_SEEN = 20_000
_CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class MdnsTiming:
    poll_s: float = 5.0
    look_again_s: float = 300.0
    # Among others too: who is not of us is told of for as long as he is there.
    review_s: float = 600.0
    conflict_rest_s: float = 1.0
    num_conflict_tries: int = 3
    shortest_rest_s: float = 1.0
    longest_rest_s: float = 60.0


class MdnsSession:
    """To be closed when its life is over, however that ended."""

    def __init__(
        self,
        zeroconf: AsyncZeroconf,
        own: Beacon,
        choice: Choice,
        bound_host: str,
        sightings: Sightings,
        hearer: Hearer,
        timing: MdnsTiming,
    ) -> None:
        self.choice = choice
        self._zeroconf = zeroconf
        self._own = own
        self._bound_host = bound_host
        self._sightings = sightings
        self._hearer = hearer
        self._timing = timing
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._told: AsyncServiceInfo | None = None
        self._conflict: Beacon | None = None
        self._conflict_s = 0.0
        self._searched = choice
        self._tasks: asyncio.TaskGroup | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._browsing_since_s = 0.0
        self._num_names_seen = 0
        self._resolving: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def announce(self, own: Beacon) -> None:
        self._own = own
        self._changed.set()

    def use(self, choice: Choice) -> None:
        if choice.used:
            self.choice = choice
            self._changed.set()

    async def live(self, tasks: asyncio.TaskGroup) -> None:
        """Tell, listen, and follow what changes, until cancelled or something breaks."""
        self._tasks = tasks
        await self._browse()
        while True:
            self._changed.clear()
            # A new interface is to hear the new addresses at once, and not the old ones before.
            await self._tell()
            await self._follow_interfaces()
            if self._should_look_again():
                await self._browse()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.poll_s):
                    await self._changed.wait()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with suppress(Exception):  # what cannot be closed in order is closed all the same
            async with asyncio.timeout(_CLOSE_S):
                await self._end_browsing()
                await self._zeroconf.async_close()

    async def _follow_interfaces(self) -> None:
        choice = self.choice
        if choice.used == self._searched.used:
            return
        self._searched = choice
        await self._zeroconf.async_update_interfaces(multicast_on(choice))
        await self._browse()

    async def _tell(self) -> None:
        own = self._own
        info = self._info(own)
        told = self._told
        if told is not None and _same(told, info):
            return
        tried_s = self._loop.time() - self._conflict_s
        if own == self._conflict and tried_s < self._timing.look_again_s:
            return
        if told is not None and told.name == info.name:
            await (await self._zeroconf.async_update_service(info))
        else:
            if told is not None:
                self._told = None
                await (await self._zeroconf.async_unregister_service(told))
            if not await self._register(info):
                self._conflict, self._conflict_s = own, self._loop.time()
                return
        self._told = info

    async def _register(self, info: AsyncServiceInfo) -> bool:
        """False where somebody else has the name: with a random one that is an older process of
        this peer, or a copy of its state directory.
        """
        for _ in range(self._timing.num_conflict_tries):
            try:
                await (await self._zeroconf.async_register_service(info))
            except NonUniqueNameException:
                await asyncio.sleep(self._timing.conflict_rest_s)
            else:
                return True
        self._hearer.on_notice(
            f"mDNS: another process announces itself as {info.get_name()}, this peer's own id; "
            "this one looks for others without being announced, and tries again"
        )
        return False

    def _info(self, own: Beacon) -> AsyncServiceInfo:
        addresses = own.addresses or addresses_to_tell(self.choice, self._bound_host)
        return AsyncServiceInfo(
            SERVICE_TYPE,
            own.instance,
            port=own.fleet_port,
            properties=dict(own.text),
            server=own.server,
            parsed_addresses=list(addresses),
        )

    async def _browse(self) -> None:
        """From the beginning: what is remembered is seen again, and the network is asked again."""
        await self._end_browsing()
        self._num_names_seen = 0
        self._browsing_since_s = self._loop.time()
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self.on_change]
        )

    async def _end_browsing(self) -> None:
        if self._browser is not None:
            await self._browser.async_cancel()
            self._browser = None

    def _should_look_again(self) -> bool:
        if self._num_names_seen > MAX_NAMES_SEEN:
            return True
        since_s, timing = self._loop.time() - self._browsing_since_s, self._timing
        rest_s = timing.look_again_s if self._hearer.is_alone() else timing.review_s
        return since_s >= rest_s

    def on_change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Called by the library; the names of its arguments are its own."""
        self._num_names_seen += 1
        node = node_of(name)
        if node is None:
            return
        if state_change is ServiceStateChange.Removed:
            self._sightings.dialler.withdraw(node)
            return
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        if info.load_from_cache(zeroconf):
            self._see(info)
        elif self._tasks and name not in self._resolving and len(self._resolving) < MAX_RESOLVING:
            self._resolving.add(name)
            self._tasks.create_task(self._resolve(zeroconf, info))

    async def _resolve(self, zeroconf: Zeroconf, info: AsyncServiceInfo) -> None:
        try:
            if await info.async_request(zeroconf, _RESOLVE_MS):
                self._see(info)
        finally:
            self._resolving.discard(info.name)

    def _see(self, info: AsyncServiceInfo) -> None:
        found = read_beacon(info.name, info.properties, info.port, info.parsed_scoped_addresses())
        if found is not None:
            self._sightings.see(self._loop.time(), self._own, found)
            self._dial()

    def _dial(self) -> None:
        now_s = self._loop.time()
        for address in self._sightings.dialler.due(now_s):
            self._hearer.on_address(address.ip, address.port)
        if self._timer is not None:
            self._timer.cancel()
        next_s = self._sightings.dialler.next_s(now_s)
        self._timer = None if next_s is None else self._loop.call_at(next_s, self._dial)


def _same(one: AsyncServiceInfo, other: AsyncServiceInfo) -> bool:
    return (one.name, one.port, one.text, sorted(one.parsed_addresses())) == (
        other.name,
        other.port,
        other.text,
        sorted(other.parsed_addresses()),
    )
