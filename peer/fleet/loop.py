"""Everything that runs on the fleet's own loop, put together: the core and its socket, what is
asked over HTTP, seeds, the address book, and the view that comes of it all.

It never waits for inference, and nothing of it is touched from another thread: who stands outside
has a function called here (`thread.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ..addresses import is_loopback
from ..config import FleetConfig
from ..gossip.core import Core
from ..gossip.events import (
    Event,
    IdentityChanged,
    LoadAnswered,
    LoadAsked,
    ObservedAs,
    Refused,
    Resumed,
    SyncDue,
    TcpPing,
)
from ..gossip.identity import StoredNode
from ..gossip.ids import NodeId
from ..gossip.node_file import write_node
from ..gossip.records import Address
from ..keys.fleet_key import RandomBytes
from ..keys.keyring import Keyring
from ..resolving import patience_s
from .asking import LoadQuestions
from .book import Book
from .catalogues import Catalogues
from .client import PeerClient, open_peer_session
from .discovering import Discovery, hearer
from .driver import RETIRED_KEY, Driver
from .errands import Errands
from .looking import Lookout
from .membership import GossipCounters, OwnState
from .notices import OF_KEYS, Notices
from .own_address import follow_addresses, improved
from .publishing import Publisher
from .reading import our_addresses, tcp_addresses
from .refusals import words_of
from .seeds import Seed, Seeking, open_session
from .telling import About
from .trust import Trust
from .udp import Datagrams, FleetSockets
from .view import FleetView
from .viewing import Viewer
from .ways import Ways
from .wire import digest_of

logger = logging.getLogger(__name__)

_ROUND_S = 1.0
_BOOK_EVERY_S = 30.0
# The topic of what is said of lists of models.
_UNREAD = "models"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a peer's fleet loop is made with. `machine` is a hash of the machine's id, `addresses`
    are where others may reach us.
    """

    config: FleetConfig
    about: About
    node_path: Path
    book_path: Path
    machine: str
    seeds: tuple[Seed, ...]
    addresses: tuple[Address, ...]
    random_bytes: RandomBytes


class _Ended(Exception):
    """Ends the tasks of the loop with it."""


class FleetLoop:
    """Made on the loop that it runs on."""

    def __init__(
        self,
        setup: Setup,
        core: Core,
        keyring: Keyring,
        trust: Trust,
        sockets: FleetSockets,
        on_view: Callable[[FleetView], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._setup = setup
        self._core = core
        self._trust = trust
        self._sockets = sockets
        self._keyring = keyring
        self._datagrams = Datagrams(sockets.udp, self._on_datagram)
        self.driver = Driver(
            core,
            keyring,
            setup.random_bytes,
            send=self._datagrams.send,
            keep=self._keep,
            on_event=self._on_event,
            tell=self.note,
            hint=self.hint,
        )
        self._publisher = Publisher(self.driver, setup.config.name, setup.addresses, setup.about)
        self.questions = LoadQuestions(self.driver, self._publisher)
        self._catalogues = Catalogues()
        self._notices = Notices()
        self._viewer = Viewer(keyring.primary.key_id.hex(), core.own.node)
        self._ways = Ways(core.members, self._notices, self._viewer.name_of)
        self._lookout = Lookout(self._look, on_view)
        self._discovery = Discovery(
            setup.config,
            sockets.host,
            setup.about.api,
            hearer(core.members, self.suggest, self.note, self.hint),
        )
        self._errands: Errands | None = None
        self._seeking: Seeking | None = None
        self.ending = asyncio.Event()
        self._book = Book(setup.book_path)

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Be a member until `ending` is set."""
        try:
            async with (
                open_session() as session,
                open_peer_session(self._addresses_of) as peer_session,
                asyncio.TaskGroup() as tasks,
            ):
                client = PeerClient(self._trust, peer_session, self._patience_s)
                self._errands = Errands(self.driver, client, self._catalogues, self._ways, tasks)
                self._begin(tasks, session)
                on_ready()
                async with self._discovery.going_on(self._core.own, self._keyring):
                    await self.ending.wait()
                raise _Ended
        except* _Ended:
            pass
        finally:
            self._errands = self._seeking = None
            self._lookout.stop()
            self.driver.stop()
            self._datagrams.close()
            with suppress(OSError):  # nobody is there to be told
                self._book.add(self._met(), int(time.time()))

    def note(self, text: str, topic: str = "") -> None:
        self._notices.add(self._loop.time(), text, topic)
        self._lookout.stir()

    def hint(self, text: str, topic: str = "") -> None:
        """The same of what only strangers say."""
        self._notices.add(self._loop.time(), text, topic, is_hint=True)
        self._lookout.stir()

    def forget(self, topic: str) -> None:
        self._notices.forget({topic})
        self._lookout.stir()

    def seek(self, seeds: tuple[Seed, ...]) -> None:
        if self._seeking is not None:
            self._seeking.seek(seeds)

    def tell(self, state: OwnState, catalogue: bytes) -> None:
        """`catalogue` is the list of the stored models, packed."""
        digest = digest_of(catalogue)
        if self._catalogues.of(digest) is None:
            self._catalogues.keep(digest, catalogue, ())
        self._publisher.tell(state, digest)
        self._lookout.stir()

    def rekey(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._viewer.rename(keyring.primary.key_id.hex())
        self._notices.forget({OF_KEYS, *(key.mdns_tag.hex() for key in keyring.trusted)})
        self.driver.use(keyring)
        self._publisher.hold(keyring)
        self._discovery.announce(self._core.own, self._keyring)

    def suggest(self, address: Address) -> None:
        self.driver.act(lambda core, now_s: core.suggest(now_s, address))

    def doubt(self, node: NodeId) -> None:
        self.driver.act(lambda core, now_s: core.doubt(now_s, node))

    @property
    def counters(self) -> GossipCounters:
        said = self._datagrams
        return GossipCounters(said.sent_bytes, said.received_bytes, self.driver.dropped)

    def _begin(self, tasks: asyncio.TaskGroup, session: aiohttp.ClientSession) -> None:
        self._datagrams.open()
        self._publisher.begin(self._keyring)
        for address in self._book.addresses:
            self._add_seed(address)
        self._seeking = Seeking(tasks, session, self._add_seed, self._drop_seed)
        self._seeking.seek(self._setup.seeds)
        tasks.create_task(self._rounds())
        tasks.create_task(self._keep_book())
        if self._setup.config.advertise is None:
            following = follow_addresses(self._sockets, self._setup.addresses, self._readdress)
            tasks.create_task(following)
        self.driver.start()
        self._lookout.look_now()

    def _addresses_of(self, node: NodeId) -> Sequence[Address]:
        member = self._core.members.get(node)
        return () if member is None else tcp_addresses(member, our_addresses(self._core.own))

    def _patience_s(self, node: NodeId) -> float:
        member = self._core.members.get(node)
        return patience_s(member and member.rtt_s, len(self._addresses_of(node)))

    def _add_seed(self, address: Address) -> None:
        self.driver.act(lambda core, now_s: core.add_seed(now_s, address))

    def _drop_seed(self, address: Address) -> None:
        if address not in self._book.addresses:  # else a peer was met there
            self.driver.act(lambda core, now_s: core.drop_seed(address))

    def _readdress(self, addresses: tuple[Address, ...]) -> None:
        """The machine is reached at these now."""
        logger.info("addresses changed now=%s", " ".join(each.ip for each in addresses))
        self.driver.act(lambda core, now_s: core.seek_anew(now_s))
        self._publisher.addresses = addresses
        if self._core.own.address in addresses or is_loopback(addresses[0].ip):
            self._publisher.introduce()
        else:
            self._move(addresses[0])

    def _on_datagram(self, address: Address, datagram: bytes) -> None:
        self.driver.on_datagram(address, datagram)
        self._lookout.stir()

    def _on_event(self, event: Event) -> None:
        match event:
            case TcpPing() if self._errands:
                self._errands.ping(event)
            case SyncDue() if self._errands:
                self._errands.sync(event)
            case LoadAsked():
                self._publisher.answer(event)
            case LoadAnswered():
                self.questions.on_answer(event.answer)
            case IdentityChanged():
                logger.warning("identity changed node=%s gen=%d", event.node.hex(), event.gen)
                self.note(f"this peer took another number in the fleet: {event.reason}")
                self._discovery.announce(self._core.own, self._keyring)
            case Refused():
                self.note(words_of(event), OF_KEYS if event.reason == RETIRED_KEY else "")
            case ObservedAs():
                self._improve(event.address)
            case Resumed():
                logger.info("slept or the clock was put on s=%.1f", event.slept_s)
            case _:
                pass
        self._lookout.stir()

    def _keep(self, changed: IdentityChanged) -> None:
        """Raises OSError."""
        stored = StoredNode(changed.node, changed.gen, self._setup.machine)
        write_node(self._setup.node_path, stored)
        self._trust.rename(changed.node)

    def _improve(self, seen: Address) -> None:
        better = improved(self._core.own.address, seen)
        if better is not None and self._setup.config.advertise is None:
            self._move(better)

    def _move(self, address: Address) -> None:
        self.driver.act(lambda core, now_s: core.move(now_s, address))
        self._publisher.introduce()
        self._discovery.announce(self._core.own, self._keyring)

    def _look(self) -> FleetView:
        now_s = self._loop.time()
        return self._viewer.view(now_s, self._core, self._catalogues.of, self._notices.at(now_s))

    async def _rounds(self) -> None:
        """What nobody calls for: lists that are missing, a view of who is silent."""
        while True:
            await asyncio.sleep(_ROUND_S)
            if self._errands is not None:
                self._errands.fetch_catalogues(self._loop.time(), self._core)
                self._tell_unread(self._errands.unread(self._core))
            self._ways.look()
            self._lookout.stir()

    async def _keep_book(self) -> None:
        """In a thread: a disk that is busy takes seconds, and who says nothing for so long is held
        dead by the others.
        """
        while True:
            await asyncio.sleep(_BOOK_EVERY_S)
            before = self._book.addresses
            try:
                await asyncio.to_thread(self._book.add, self._met(), int(time.time()))
            except OSError as error:
                self.note(f"the addresses of peers cannot be kept: {error.strerror}")
            self._seek_as_in(self._book.addresses, before)

    def _seek_as_in(self, book: Sequence[Address], before: Sequence[Address]) -> None:
        """Whoever was met is sought for longer than he is held dead, and in this run too."""
        for address in before:
            if address not in book:
                self._drop_seed(address)
        for address in book:
            if address not in before:
                self._add_seed(address)

    def _tell_unread(self, nodes: Sequence[NodeId]) -> None:
        self._notices.forget({_UNREAD})
        for node in nodes:
            name = self._viewer.name_of(node)
            words = f"{name} tells of models in words that are not known here: update this peer"
            self.note(words, _UNREAD)

    def _met(self) -> tuple[Address, ...]:
        met = (member.published for member in self._core.members.reachable())
        return tuple(address for address in met if address is not None)
