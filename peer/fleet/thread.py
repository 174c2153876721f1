"""The fleet's thread, seen from the peer's own loop: questions go in, views come out, and neither
side ever waits for the other's work.

All that is done for the fleet is done on the other loop (`loop.py`); here is only the crossing.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from aiohttp import web

from cortex.engine.errors import InternalError

from ..config import FleetConfig, Locations
from ..errors import CannotKeepIdentity, HostLeaving
from ..gossip.core import Core
from ..gossip.ids import ModelId, NodeId
from ..gossip.messages import LoadAnswer
from ..gossip.node_file import machine_hash, take_up
from ..gossip.timing import Timing
from ..keys.keyring import Keyring
from ..private_file import next_step
from .loop import FleetLoop, Setup
from .membership import GossipCounters, OwnState
from .own_address import own_addresses
from .seeds import parse_seed
from .sync import Deed, routes
from .telling import About
from .trust import Trust
from .udp import FleetSockets
from .view import FleetView, StoredModel
from .wire import packed_catalogue

logger = logging.getLogger(__name__)

T = TypeVar("T")
# Makes what runs on the fleet's loop, on that loop, and is told who takes its views.
MakeLoop = Callable[[Callable[[FleetView], None]], FleetLoop]

# How long the goodbye is told before the end: a few ticks of gossip.
_GOODBYE_S = 0.6
_END_S = 5.0


class FleetThread:
    """A `Membership`. Everything but `note` is called on the loop that made it."""

    def __init__(self, make: MakeLoop, trust: Trust) -> None:
        self.trust = trust
        self._make = make
        self._main = asyncio.get_running_loop()
        self._inside: FleetLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_begun: asyncio.Future[None] = self._main.create_future()
        self._has_ended = asyncio.Event()
        self._view: FleetView | None = None
        self._watchers: list[Callable[[FleetView], None]] = []
        self._stored: tuple[StoredModel, ...] = ()
        self._catalogue = packed_catalogue(())

    @property
    def view(self) -> FleetView:
        assert self._view is not None, "the thread has begun"
        return self._view

    @property
    def counters(self) -> GossipCounters:
        return self._running.counters

    def watch(self, on_view: Callable[[FleetView], None]) -> Callable[[], None]:
        self._watchers.append(on_view)

        def end() -> None:
            with suppress(ValueError):
                self._watchers.remove(on_view)

        return end

    def tell(self, state: OwnState) -> None:
        if state.stored != self._stored:
            self._stored = state.stored
            self._catalogue = packed_catalogue(state.stored)
        self._post(self._running.tell, state, self._catalogue)

    async def ask_loads(
        self, nodes: Sequence[NodeId], model: ModelId, limit_s: float
    ) -> Mapping[NodeId, LoadAnswer]:
        ask = self._running.questions.ask
        return await self.run(functools.partial(ask, nodes, model, limit_s))

    async def round_trips(self) -> Mapping[NodeId, float]:
        """In seconds, smoothed, to each peer that has answered a question of ours.

        Raises HostLeaving where the thread has ended.
        """
        return await self._ask_core(
            lambda core, _: {
                one.node: one.rtt_s for one in core.members.reachable() if one.rtt_s is not None
            }
        )

    async def round_trip_s(self, node: NodeId) -> float | None:
        """The same to one of them; None where it is not known."""
        with suppress(HostLeaving):
            return (await self.round_trips()).get(node)
        return None

    def doubt(self, node: NodeId) -> None:
        self._post(self._running.doubt, node)

    def seek(self, join: Sequence[str]) -> None:
        """Try to meet peers there for ever, and nowhere else.

        Raises InvalidAddress.
        """
        self._post(self._running.seek, tuple(map(parse_seed, join)))

    def note(self, text: str, topic: str = "") -> None:
        """A person should know this: it stands in the view for a while, or until it is forgotten by
        its topic.
        """
        self._post(self._running.note, text, topic)

    def forget(self, topic: str) -> None:
        self._post(self._running.forget, topic)

    def rekey(self, keyring: Keyring) -> None:
        """Trust the keys of this ring from now on, and use its first."""
        self.trust.rekey(keyring)
        self._post(self._running.rekey, keyring)

    async def leave(self) -> None:
        """Say goodbye, and give the word time to get round, if there is anybody to hear it."""
        with suppress(HostLeaving):
            if await self._ask_core(lambda core, now_s: core.leave(now_s)):
                await asyncio.sleep(_GOODBYE_S)

    def routes(self) -> list[web.RouteDef]:
        """What peers ask of each other on the fleet's port."""
        return routes(self.trust, self._ask_core, lambda: self._catalogue)

    async def run(self, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """Have it awaited on the fleet's loop.

        Raises HostLeaving where that has ended.
        """
        assert self._loop is not None, "the thread has begun"
        coroutine = work()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise _gone() from None
        answer, end = asyncio.wrap_future(future), asyncio.ensure_future(self._has_ended.wait())
        try:
            await asyncio.wait((answer, end), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        finally:
            end.cancel()
        if answer.done() and not answer.cancelled():
            return answer.result()
        # The loop took it and has ended since, so that nobody else would close it.
        coroutine.close()
        raise _gone()

    async def begin(self) -> None:
        """Raises what kept the thread from beginning."""
        threading.Thread(target=self._be, name="fleet", daemon=True).start()
        await self._has_begun

    async def end(self) -> None:
        """Return when the thread has ended, or is stuck."""
        if self._inside is not None:
            self._post(self._inside.ending.set)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._has_ended.wait()

    @property
    def _running(self) -> FleetLoop:
        assert self._inside is not None, "the thread has begun"
        return self._inside

    async def _ask_core(self, deed: Deed[T]) -> T:
        async def done() -> T:
            return self._running.driver.act(deed)

        return await self.run(done)

    def _post(self, deed: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None, "the thread has begun"
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(deed, *arguments)

    # From here on: in the fleet's thread.

    def _be(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._live())
        except BaseException as failure:
            logger.exception("the fleet's thread has ended")
            error = failure
        self._post_back(self._on_end, error)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._inside = self._make(lambda view: self._post_back(self._on_view, view))
        await self._inside.run(lambda: self._post_back(self._on_begun))

    def _post_back(self, deed: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the peer has ended without us
            self._main.call_soon_threadsafe(deed, *arguments)

    # And back on the peer's loop.

    def _on_begun(self) -> None:
        if not self._has_begun.done():
            self._has_begun.set_result(None)

    def _on_end(self, error: BaseException | None) -> None:
        self._has_ended.set()
        if not self._has_begun.done():
            self._has_begun.set_exception(error or InternalError("the fleet's thread has ended"))
        elif error is not None and self._view is not None:
            self._on_view(_alone(self._view))

    def _on_view(self, view: FleetView) -> None:
        self._view = view
        for on_view in tuple(self._watchers):
            on_view(view)


def _gone() -> HostLeaving:
    return HostLeaving("this peer is no longer in the fleet", "ask another")


def _alone(view: FleetView) -> FleetView:
    """What is left to see when the thread has failed: nobody knows of the others any more."""
    notice = "this peer has fallen out of the fleet by a fault of its own: start it again"
    notices = (*view.notices, notice)
    return replace(view, version=view.version + 1, peers=(view.me,), notices=notices)


@asynccontextmanager
async def gossiping(
    config: FleetConfig,
    locations: Locations,
    keyring: Keyring,
    sockets: FleetSockets,
    about: About,
    timing: Timing | None = None,
) -> AsyncGenerator[FleetThread]:
    """A member of the fleet for as long as the block lasts; it ends without a word, unless `leave`
    was called. The sockets stay their maker's.

    Raises CannotKeepIdentity, CannotListen and InvalidAddress.
    """
    seeds = tuple(parse_seed(text) for text in config.join)
    addresses = await own_addresses(config.advertise, sockets)
    node_path, machine = locations.state_dir / "node.json", machine_hash()
    try:
        identity = take_up(node_path, machine, int(time.time()), os.urandom)
    except OSError as error:
        raise CannotKeepIdentity(
            f"cannot write {node_path}: {error.strerror or error}",
            next_step(error, node_path, "name a folder of your own with --state-dir"),
        ) from None
    setup = Setup(
        config,
        about,
        node_path,
        locations.state_dir / "peers.json",
        machine,
        seeds,
        addresses,
        os.urandom,
    )

    trust = Trust(keyring, identity.node)

    def make(on_view: Callable[[FleetView], None]) -> FleetLoop:
        now_s, rng = asyncio.get_running_loop().time(), random.SystemRandom()
        core = Core(identity, addresses[0], now_s, rng, timing, about.versions)
        return FleetLoop(setup, core, keyring, trust, sockets, on_view)

    fleet = FleetThread(make, trust)
    await fleet.begin()
    try:
        yield fleet
    finally:
        await fleet.end()
