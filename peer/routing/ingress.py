"""The fleet behind one API: each request is answered by whichever peer is best for it.

It holds the client's side of a request and sends it to one host after the other until it is
answered: another one from the start while the client has nothing, and from its tokens when a host
is lost in the middle. This peer's own engine is a host like the others, and fails like them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import cast

from msgspec.structs import replace

from cortex.engine.errors import CortexError
from cortex.engine.stream import Event, Stage, Vector
from cortex.engine.types import ChatRequest

from ..bounds.admission import LEAST_PROMPTS_BYTES, Admission
from ..errors import NoPeer
from ..fleet.membership import Membership
from ..gossip.ids import ModelId
from ..hop.hops import Hops
from ..node import Node
from ..observing.live import LiveRequest
from ..observing.tally import Failover
from ..types import ModelInfo
from ..vectors import vectors_of
from .affinity import conversation_key
from .asked import Asked, Parting
from .attempts import Attempts
from .candidates import Busyness, Candidate, Wish, own_busyness
from .catalogue import Eta, FleetCatalogue, FleetModel
from .choosing import Chooser
from .leases import Leases
from .offers import Offers
from .transcript import Transcript
from .tries import fault_of, is_failover

# Before another host is asked, so that those who lost one do not come to the next all at once.
_JITTER_S = 0.05
_MAX_COUNT_TRIES = 3
# Of the requests under way so many may be asked again at a time because a host was full: more would
# make full peers fuller. The others wait.
_HELD_SHARE = 0.2
_MIN_HELD = 3
_HOLD_POLL_S = 0.1
# A client that waits for a host hears so before a second is over.
_SAY_S = 0.7


class Ingress:
    """Answers for all peers of the fleet. Each of its public methods of a name that `Node` has is
    that one, over the fleet. `eta_s` is how long loads take.
    """

    def __init__(
        self,
        local: Node,
        membership: Membership,
        hops: Hops,
        leases: Leases,
        *,
        eta_s: Eta = lambda model, size_bytes: None,
        rng: random.Random | None = None,
    ) -> None:
        config = local.config
        self._local = local
        self._membership = membership
        self._hops = hops
        self._eta_s = eta_s
        self._rng = rng or random.Random()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        # One connection has one request; what is kept here is the vectors of a call, beside the
        # prompts of the node: so no share of the memory.
        vectors_bytes = config.max_prepared_bytes
        if vectors_bytes is None:
            vectors_bytes = LEAST_PROMPTS_BYTES
        self._admission = Admission(config.connections.max_connections, vectors_bytes)
        self._num_held = 0
        self._offers = offers = Offers(local, membership, eta_s, self._clock)
        self._chooser = Chooser(
            membership, leases, self._own_busyness, offers.held_now, self._rng, self._clock
        )
        self._attempts = Attempts(
            local, hops, self._chooser, eta_s, self._release, self._taken_up, self._clock
        )

    async def models(self) -> tuple[ModelInfo, ...]:
        return await self._offers.models()

    async def model(self, name: str) -> ModelInfo:
        return await self._offers.model(name)

    def catalogue(self) -> FleetCatalogue:
        return self._offers.catalogue()

    def suggestion(self) -> str | None:
        return self._offers.suggestion()

    def chat(self, request: ChatRequest, live: LiveRequest | None = None) -> AsyncGenerator[Event]:
        """The events of a request for answers, as `Node.serve` gives them, by whichever peer;
        `live` is told what becomes of it.
        """
        # A vector comes only where one is wished for.
        return cast(AsyncGenerator[Event], self._serve(request, live))

    async def count(self, request: ChatRequest, live: LiveRequest | None = None) -> int:
        """As `Node.count`: here where the model is on disk, else by a peer that has it."""
        with self._admission.admitted(1):
            model = await self._offers.find(request.model)
            if live is not None:
                live.model_id = model.id
            self._offers.check_able(model, request)
            error: CortexError = self._chooser.nobody(model)
            wish = Wish(conversation_key(model.weights, request))
            for host in self._chooser.holders(model, wish)[:_MAX_COUNT_TRIES]:
                try:
                    return await self._count_at(host, model, request)
                except CortexError as failure:
                    if fault_of(failure) == "refused":
                        raise
                    error = failure
            raise error

    @asynccontextmanager
    async def vectors(
        self, requests: Sequence[ChatRequest], live: LiveRequest | None = None
    ) -> AsyncGenerator[list[Vector]]:
        """A vector for each request, in their order, each by whichever peer; held while the block
        lasts. Raises the first error that one of them ends with.
        """

        def serve(request: ChatRequest) -> AsyncGenerator[Event | Vector]:
            return self._serve(request, live)

        num_lanes = min(len(requests), self._local.config.vector_lanes)
        async with vectors_of(requests, num_lanes, serve, self._admission) as vectors:
            yield vectors

    async def idle(self) -> None:
        """Return when nothing is under way. What comes until then is passed on as ever: a peer that
        ends takes no new connections, and those that it has may each have one more request.
        """
        await self._admission.idle()

    async def _serve(
        self, request: ChatRequest, live: LiveRequest | None
    ) -> AsyncGenerator[Event | Vector]:
        """The events of a request, by as many hosts as it takes."""
        if live is None:  # nobody looks at this one, and nobody loses patience
            live = LiveRequest("-", "-", "-", self._clock())
            live.is_streamed = True
        with self._admission.admitted(1):
            asked = await self._asked(request, live)
            failure: CortexError | None = None
            try:
                while True:
                    finding = asyncio.create_task(self._host_for(asked, failure), name="find host")
                    async with aclosing(self._meanwhile(asked, finding)) as stages:
                        async for stage in stages:
                            yield stage
                    host = finding.result()
                    try:
                        async with aclosing(self._attempts.events(asked, host)) as events:
                            async for event in events:
                                yield event
                        return
                    except CortexError as error:
                        self._failed(asked, host, error)
                        failure = error
            finally:
                self._release(asked)

    async def _asked(self, request: ChatRequest, live: LiveRequest) -> Asked:
        model = await self._offers.find(request.model)
        live.model_id = model.id
        self._offers.check_able(model, request)
        now_s = self._clock()
        return Asked(
            model,
            conversation_key(model.weights, request),
            Transcript(request),
            live,
            since_s=now_s,
            silent_since_s=now_s,
            cold_wait_s=self._local.config.cold_wait_s,
        )

    async def _meanwhile(
        self, asked: Asked, finding: asyncio.Task[Candidate]
    ) -> AsyncGenerator[Stage]:
        """What is told until it is known who is asked next. The finding ends with this."""
        live = asked.live
        try:
            while not await self._is_done(finding, asked.silent_since_s + _SAY_S):
                asked.silent_since_s = self._clock()
                if not asked.transcript.has_begun:
                    live.host, live.start = "", ""  # those of one that did not take it
                stage = Stage("queued")
                live.note(stage, self._clock)
                yield stage
        finally:
            finding.cancel()
            await asyncio.gather(finding, return_exceptions=True)

    async def _is_done(self, finding: asyncio.Task[Candidate], until_s: float) -> bool:
        done, _ = await asyncio.wait({finding}, timeout=max(0.0, until_s - self._clock()))
        return bool(done)

    async def _host_for(self, asked: Asked, failure: CortexError | None) -> Candidate:
        """Who is asked next, after the last one's failure."""
        if failure is not None:
            if fault_of(failure) == "busy":
                await self._hold(asked)
            await asyncio.sleep(self._rng.uniform(0, _JITTER_S))
        try:
            host = await self._chooser.choose(asked.model, asked.wish(), asked.since_s)
        except NoPeer as error:
            raise asked.ending(error) from error
        live = asked.live
        live.host, live.start = host.name, "warm" if host.warmth == "warm" else "cold"
        if host.warmth != "warm":
            asked.wait_for_load(self._clock())
        return host

    def _failed(self, asked: Asked, host: Candidate, error: CortexError) -> None:
        """Raises what the client is told, where nobody else is to be asked."""
        fault = fault_of(error)
        if fault == "lost":
            self._chooser.doubt(host.life)
        is_redial = asked.tries.is_redial(host, error)
        asked.failed(host, error, self._clock())
        if is_redial or not is_failover(error):
            return
        kind: Failover = "continuation" if asked.transcript.has_begun else "retry"
        asked.partings.append(Parting(host, kind, error.code(), fault))

    def _taken_up(self, asked: Asked, host: Candidate) -> None:
        """This host gives a part of the answer. Only then has it gone on without the one before:
        until its model is there and its prompt is read, it may have to part with it as well.
        """
        parting = asked.taken_up(host) if asked.partings else None
        if parting is None:
            return
        model_id, code = asked.model.id, parting.code
        asked.live.num_failovers += 1
        self._local.tally.failovers[model_id, parting.kind, code] += 1
        if parting.fault != "busy":  # who had no room has lost nothing
            words = f"a request for {model_id} goes on without {parting.host.name} ({code})"
            self._local.chronicle.add("failover", words, model_id)

    async def _hold(self, asked: Asked) -> None:
        """Wait for leave to ask again. Raises Overloaded where that takes too long."""
        while not asked.is_held:
            most = max(_MIN_HELD, _HELD_SHARE * self._admission.live_requests)
            if self._num_held < most:
                self._num_held += 1
                asked.is_held = True
            elif self._clock() - asked.since_s >= asked.patience_s:
                raise await self._chooser.overloaded(asked.model, asked.wish())
            else:
                await asyncio.sleep(_HOLD_POLL_S)

    def _release(self, asked: Asked) -> None:
        """A host works on it, or it has ended: another may ask again."""
        self._num_held -= asked.is_held
        asked.is_held = False

    async def _count_at(self, host: Candidate, model: FleetModel, request: ChatRequest) -> int:
        own = replace(request, model=host.holder.id)
        if host.is_self:
            return await self._local.count(own)
        return await self._hops.count(host.node, model.weights, own)

    def _own_busyness(self, weights: ModelId) -> Busyness:
        """This peer's load, known at once; how much it takes is what it tells others."""
        health, most = self._local.health, self._local.config.max_live_requests
        told, num_live = self._membership.view.me.load, health.live_requests
        return own_busyness(told, weights, num_live, 0 if health.is_draining else most)
