"""Orders given to any peer, carried out by the one that they are about.

Who may give them is decided before; what becomes of them at a peer is its desk's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

import msgspec

from cortex.engine.errors import CortexError, ModelInvalid

from ..errors import JobNotFound, PeerNotFound, RequestNotFound
from ..fleet.membership import Membership
from ..fleet.view import FleetView, PeerView
from ..gossip.ids import NodeId
from ..hop.hops import OrderHops
from ..jobs import home_of
from ..node import Node
from ..observing.log_ring import LogPage
from ..placement.plan import LoadWish, Planned
from ..placement.planning import Known, known_by, plan_load
from ..routing.catalogue import FleetCatalogue, FleetModel
from .anywhere import Anywhere
from .desk import OrderDesk
from .facts import Describe, HappeningList, PeerFacts, ReadLog, WatchHappenings
from .finding import able_to_load, own_id, peer_named, peer_to_steer, peers_to_load
from .plans import first_with_plan, told_plans
from .reaching import FIRST_WORD_S, Reach
from .values import (
    CancelJob,
    CancelRequest,
    Done,
    DrainOrder,
    Job,
    LoadOrder,
    Order,
    PinOrder,
    PullOrder,
    Report,
    UndrainOrder,
    UnloadOrder,
    WatchJob,
)

# So many peers are asked what a load would do there; of more, what is believed of them is told.
_MAX_ASKED = 16


class Control:
    def __init__(
        self,
        node: Node,
        desk: OrderDesk,
        membership: Membership,
        hops: OrderHops,
        catalogue: Callable[[], FleetCatalogue],
        first_word_s: float = FIRST_WORD_S,
    ) -> None:
        self._node = node
        self._desk = desk
        self._membership = membership
        self._reach = Reach(desk, hops, first_word_s)
        self._catalogue = catalogue

    @property
    def view(self) -> FleetView:
        return self._membership.view

    def peer(self, word: str | None) -> PeerView:
        """The one of that name; this one without. Raises PeerNotFound."""
        view = self.view
        return view.me if word is None else peer_named(view, word)

    async def models(self) -> tuple[FleetModel, ...]:
        """All that the fleet has."""
        await self._node.models()
        return self._catalogue().models

    async def model(self, name: str) -> FleetModel:
        """The model that a name means; none answers for names that mean none. Raises ModelNotFound,
        or ModelInvalid where nobody can read its weights.
        """
        await self._node.models()
        model = self._catalogue().named(name, self._node.config.names)
        if model.weights:
            return model
        await self._node.shelf.weigh()
        model = self._catalogue().named(name, self._node.config.names)
        if not model.weights:
            for own in (one for one in self._node.stored if one.id == model.id):
                await self._node.costs.find(own)  # the engine says which file is broken, and how
            raise ModelInvalid(f"weights of '{model.id}' cannot be read", "look into its folder")
        return model

    async def plan(
        self,
        name: str,
        peer: str | None,
        context_tokens: int | None,
        num_slots: int | None,
        *,
        as_load: bool = False,
    ) -> tuple[str, Planned, FleetView]:
        """What a load would do now, on the best peer where none is named, or `as_load` on the one
        that `load` would choose; with the model's id, and the view that it is planned in.
        """
        model, view = await self.model(name), self.view
        named, known = None if peer is None else peer_named(view, peer), self._known()
        wish = LoadWish(model.weights, None, context_tokens, num_slots)
        hosts = able_to_load(view, model, named)[:_MAX_ASKED]
        if as_load:
            hosts = peers_to_load(view, model, named, known)
        if [host.is_self for host in hosts] == [True]:
            await self._desk.plan(wish)  # raises what is wrong with the only copy there is
        told = await told_plans(hosts, wish, self._reach.last)
        if as_load:
            named = first_with_plan(hosts, told)
        wish = replace(wish, peer=None if named is None else named.node)
        return model.id, plan_load(view, wish, known, told), view

    async def load(
        self,
        name: str,
        peer: str | None,
        context_tokens: int | None,
        num_slots: int | None,
        *,
        is_forced: bool = False,
    ) -> AsyncGenerator[Job]:
        """How far it is, until it is over. Raises what it cannot begin for."""
        model, view = await self.model(name), self.view
        named = None if peer is None else peer_named(view, peer)
        hosts = peers_to_load(view, model, named, self._known())
        order = LoadOrder(model.weights, context_tokens, num_slots, is_forced)
        anywhere = Anywhere(model.id, order, hosts, self._reach.jobs, self._call_off)
        if len(hosts) == 1:
            return self._reach.jobs(hosts[0], order)
        return self._desk.load_anywhere(anywhere)

    async def unload(self, name: str, peer: str | None, *, is_forced: bool) -> AsyncGenerator[Job]:
        host, model_id = await self._whose(name, peer)
        return self._reach.jobs(host, UnloadOrder(model_id, is_forced))

    def pull(self, repository: str, revision: str | None, peer: str | None) -> AsyncGenerator[Job]:
        """A repository of the hub becomes a model of that peer; of this one without a name."""
        return self._reach.jobs(self.peer(peer), PullOrder(repository, revision))

    async def pin(self, name: str, peer: str | None, *, is_pinned: bool) -> PeerView:
        """The peer where it holds now."""
        host, model_id = await self._whose(name, peer)
        await self._reach.first(host, PinOrder(model_id, is_pinned))
        return host

    async def drain(self, peer: str | None) -> Job:
        """The job, with how much is under way."""
        async with aclosing(self._reach.jobs(self.peer(peer), DrainOrder())) as jobs:
            job = await anext(jobs)
            while not (job.stage or job.is_over) and (later := await anext(jobs, None)):
                job = later
            return job

    async def undrain(self, peer: str | None) -> PeerView:
        """The peer that takes requests again. Raises Overloaded where it ends."""
        host = self.peer(peer)
        await self._reach.first(host, UndrainOrder())
        return host

    def follow(self, job_id: str, *, is_followed: bool = True) -> AsyncGenerator[Job]:
        """Raises JobNotFound."""
        return self._reach.jobs(self._home(job_id), WatchJob(job_id, is_followed))

    async def cancel_job(self, job_id: str) -> Job:
        """Raises JobNotFound."""
        return await self._reach.answer(Job, self._home(job_id), CancelJob(job_id))

    async def cancel_request(self, request_id: str, peer: str | None) -> PeerView:
        """The peer where it was; without a name all are asked. Raises RequestNotFound."""
        order = CancelRequest(request_id)
        host = self.peer(peer)
        try:
            await self._reach.first(host, order)
            return host
        except RequestNotFound:
            if peer is not None:
                raise
        answers = await self.everywhere(order, but_here=True)
        found = next((one for one, answer in answers if isinstance(answer, Done)), None)
        if found is None:
            raise RequestNotFound(
                f"no request '{request_id[:80]}' is under way on any peer",
                "cortex ps --fleet, or GET /requests?fleet=1, lists those that are",
            )
        return found

    async def facts(self, word: str) -> PeerFacts:
        """How a peer is, closely. Raises PeerNotFound."""
        peer = self.peer(word)
        facts = await self._reach.answer(PeerFacts, peer, Describe())
        return msgspec.structs.replace(facts, node=peer.node.hex(), name=peer.name)

    async def log(self, peer: PeerView, order: ReadLog) -> LogPage:
        """One page of a peer's log."""
        return await self._reach.answer(LogPage, peer, order)

    def happenings(self, peer: PeerView) -> AsyncGenerator[HappeningList]:
        """What happens at a peer, at once and at each change; of others only as this one sees
        them.
        """
        return self._reach.of(HappeningList, peer, WatchHappenings(peer.is_self))

    async def here(self, order: Order) -> list[tuple[PeerView, Report | CortexError]]:
        """What this peer says to it, as `everywhere` tells it."""
        me = self.peer(None)
        return [(me, await self._reach.first(me, order))]

    async def everywhere(
        self, order: Order, *, but_here: bool = False
    ) -> list[tuple[PeerView, Report | CortexError]]:
        """What each peer that is there says to it."""
        view = self.view
        peers = [peer for peer in view.peers if not peer.is_gone]
        asked = [peer for peer in peers if not (but_here and peer.is_self)]
        return await self._reach.all(asked, order)

    async def _call_off(self, job: Job) -> None:
        await self.cancel_job(job.id)

    def _known(self) -> Known:
        return known_by(self._node.config, self._node.history.eta_at_s)

    async def _whose(self, name: str, peer: str | None) -> tuple[PeerView, str]:
        """Which peer is meant, and what it calls the model."""
        model, view = await self.model(name), self.view
        host = peer_to_steer(view, model, None if peer is None else peer_named(view, peer))
        return host, own_id(view, model, host)

    def _home(self, job_id: str) -> PeerView:
        if self._desk.has_job(job_id):  # its id may be of a node that this peer was before
            return self.peer(None)
        home = home_of(job_id)
        view = self.view
        peer = None if home is None else view.peer(NodeId(home))
        if peer is None:
            raise JobNotFound(f"no job '{job_id[:80]}' is known", "GET /jobs lists those of a peer")
        if peer.is_gone:
            raise PeerNotFound(
                f"peer '{peer.name}', which had the job '{job_id[:80]}', is gone",
                "look at what has become of it: cortex status",
            )
        return peer
