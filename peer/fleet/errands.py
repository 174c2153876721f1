"""What the core wants done over HTTP, each in a task of its own and only so many at once: whoever
finds no room is asked for again by the core before long.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Literal, TypeAlias

from ..errors import HostLost, HostRefused, HostSilent
from ..gossip.codec import MessageError
from ..gossip.core import Core
from ..gossip.events import SyncDue, TcpPing
from ..gossip.ids import NodeId
from ..gossip.members import Member
from ..gossip.sections import Catalog
from ..resolving import is_too_far
from .catalogues import Catalogues
from .client import PeerClient
from .driver import Driver
from .reading import read, told_addresses
from .sync import synchronise
from .ways import Ways

logger = logging.getLogger(__name__)

Errand: TypeAlias = Callable[[], Coroutine[None, None, None]]
Kind: TypeAlias = Literal["ping", "sync", "fetch"]
_AT_ONCE: dict[Kind, int] = {"ping": 64, "sync": 8, "fetch": 4}
_FETCH_AGAIN_S = 5.0


class Errands:
    def __init__(
        self,
        driver: Driver,
        client: PeerClient,
        catalogues: Catalogues,
        ways: Ways,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._driver = driver
        self._client = client
        self._catalogues = catalogues
        self._ways = ways
        self._tasks = tasks
        self._num_open: Counter[Kind] = Counter()
        self._fetch_after_s: dict[bytes, float] = {}

    def ping(self, due: TcpPing) -> None:
        async def ping() -> None:
            await self._client.ping(due.node)
            self._driver.act(lambda core, _: core.on_tcp_answer(due.ticket))
            self._driver.act(lambda _, now_s: self._ways.had_only_connection(now_s, due.node))

        self._start("ping", due.node, ping)
        self._driver.act(lambda core, now_s: _ask_elsewhere(core, now_s, due))

    def sync(self, due: SyncDue) -> None:
        errand = partial(synchronise, self._driver, self._client, due.node)
        self._start("sync", due.node, errand)

    def fetch_catalogues(self, now_s: float, core: Core) -> None:
        """Ask for the lists of models that peers tell of and that are not known here."""
        named = dict(_named(core.members))
        own = read(Catalog, core.own.facts)
        self._catalogues.forget_unnamed({*named, *(() if own is None else (own.digest,))})
        self._fetch_after_s = {
            digest: after_s for digest, after_s in self._fetch_after_s.items() if digest in named
        }
        for digest, member in named.items():
            is_due = now_s >= self._fetch_after_s.get(digest, 0.0)
            if not is_due or self._catalogues.of(digest) is not None:
                continue
            fetching = partial(self._fetch, digest, member.node, tuple(named))
            if self._start("fetch", member.node, fetching):
                self._fetch_after_s[digest] = now_s + _FETCH_AGAIN_S

    async def _fetch(self, digest: bytes, node: NodeId, in_use: tuple[bytes, ...]) -> None:
        body = await self._client.catalogue(node)
        try:
            self._catalogues.keep(digest, body, in_use)
        except MessageError as error:
            raise HostLost(f"{node.hex()} gave {error.message}") from error

    def unread(self, core: Core) -> list[NodeId]:
        """Those whose list of models could not be read whole."""
        named = _named(core.members)
        return [member.node for digest, member in named if not self._catalogues.is_whole(digest)]

    def _start(self, kind: Kind, node: NodeId, errand: Errand) -> bool:
        if self._num_open[kind] >= _AT_ONCE[kind]:
            return False
        self._num_open[kind] += 1
        running = self._run(kind, node, errand)
        try:
            self._tasks.create_task(running)
        except RuntimeError:  # the fleet's loop is ending, and nobody waits for this any more
            running.close()
        return True

    async def _run(self, kind: Kind, node: NodeId, errand: Errand) -> None:
        try:
            await errand()
            self._ways.had_connection(node)
        except HostLost as error:
            logger.debug("errand failed kind=%s error=%s", kind, error)
            # Whoever answers something else than was asked for has been reached.
            if isinstance(error, HostRefused | HostSilent):
                self._driver.act(partial(self._had_no_connection, node))
        finally:
            self._num_open[kind] -= 1

    def _had_no_connection(self, node: NodeId, core: Core, now_s: float) -> None:
        member = core.members.get(node)
        if member is None or not is_too_far(member.rtt_s):
            self._ways.had_no_connection(now_s, node)


def _ask_elsewhere(core: Core, now_s: float, due: TcpPing) -> None:
    """Who is silent where it was heard last may be reached at another of its addresses."""
    member = core.members.get(due.node)
    for address in told_addresses(member.facts) if member else ():
        if address != due.address:
            core.suggest(now_s, address)


def _named(members: Iterable[Member]) -> Iterable[tuple[bytes, Member]]:
    """The lists of models that reachable peers tell of, each with one who has it."""
    for member in members:
        catalog = read(Catalog, member.facts) if member.can_be_asked else None
        if catalog is not None and catalog.num_models:
            yield catalog.digest, member
