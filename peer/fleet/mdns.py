"""Discovery by mDNS: tells the network that this peer is here, and hears who else says so.

It supplies addresses to try and nothing more: a record proves nothing, and one that goes away kills
nobody. Whatever fails here is told as a notice and tried again; the fleet lives without it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from zeroconf.asyncio import AsyncZeroconf

from .beacons import Beacon
from .interfaces import Reader, choose, multicast_on, read_interfaces, watch_interfaces
from .mdns_session import MdnsSession, MdnsTiming
from .sightings import Hearer, Sightings

_LOG = logging.getLogger(__name__)

OpenZeroconf: TypeAlias = Callable[[Sequence[str | int]], AsyncZeroconf]


@dataclass(frozen=True, slots=True)
class MdnsWish:
    """`interfaces` None means those that look usable. Others than the ones that `bound_host`
    belongs to are not used, where the fleet's port is bound to one address.
    """

    interfaces: tuple[str, ...] | None = None
    bound_host: str = "0.0.0.0"


class MdnsDiscovery:
    """To be used in one loop, from `start` to `stop`."""

    def __init__(
        self,
        own: Beacon,
        hearer: Hearer,
        wish: MdnsWish | None = None,
        *,
        timing: MdnsTiming | None = None,
        read: Reader = read_interfaces,
        open_zeroconf: OpenZeroconf | None = None,
    ) -> None:
        self._own = own
        self._hearer = hearer
        self._wish = wish or MdnsWish()
        self._timing = timing or MdnsTiming()
        self._read = read
        self._open = open_zeroconf or _open
        self._sightings = Sightings(hearer)
        self._session: MdnsSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._logged = ""

    def start(self) -> None:
        """Begin; returns before anybody is found."""
        self._task = asyncio.create_task(self._keep_going(), name="mdns")

    def announce(self, own: Beacon) -> None:
        """Say this of ourselves from now on."""
        self._own = own
        if self._session is not None:
            self._session.announce(own)

    async def stop(self) -> None:
        """Say goodbye, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _keep_going(self) -> None:
        timing = self._timing
        rest_s = timing.shortest_rest_s
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self._live_once()
            # Whatever a library that reads strangers' packets may raise: it costs discovery alone.
            except Exception as error:
                if loop.time() - began_s > timing.longest_rest_s:
                    rest_s, self._logged = timing.shortest_rest_s, ""
                self._notice(error)
            await asyncio.sleep(rest_s)
            rest_s = min(2 * rest_s, timing.longest_rest_s)

    async def _live_once(self) -> None:
        interfaces = await asyncio.to_thread(self._read)
        wish = self._wish
        choice = choose(interfaces, wish.interfaces, wish.bound_host)
        if not choice.used:
            reasons = "; ".join(f"{skipped.name} {skipped.reason}" for skipped in choice.skipped)
            raise OSError(f"no network interface can be used ({reasons or 'there is none'})")
        session = MdnsSession(
            self._open(multicast_on(choice)),
            self._own,
            choice,
            wish.bound_host,
            self._sightings,
            self._hearer,
            self._timing,
        )
        self._session = session
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(session.live(tasks))
                tasks.create_task(
                    watch_interfaces(
                        self._read,
                        interfaces,
                        lambda now: session.use(choose(now, wish.interfaces, wish.bound_host)),
                        self._timing.poll_s,
                    )
                )
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._session = None
            await session.close()

    def _notice(self, error: Exception) -> None:
        """For as long as it is so; the log has it once."""
        text = f"no discovery by mDNS: {_why(error)}; --join works without it"
        if text != self._logged:
            self._logged = text
            _LOG.info("mdns failed error=%s", type(error).__name__, exc_info=error)
        self._hearer.on_notice(text)


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "another program keeps UDP port 5353 for itself (avahi: disallow-other-stacks=no)"
    return str(error) or type(error).__name__


def _open(interfaces: Sequence[str | int]) -> AsyncZeroconf:
    # The library tells addresses from other things by their being a list.
    return AsyncZeroconf(interfaces=list(interfaces))
