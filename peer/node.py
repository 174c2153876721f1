"""One peer's inside: its text process, an engine process for each device, its models, and the way
of a request.

No port, no HTTP: the server puts those around it, and a command without a running peer uses it
bare. A request goes text process, residency, engine; whoever stops reading its events stops its
work, whatever stage it is in.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Self, cast

from cortex.engine.errors import EngineFailed, Overloaded
from cortex.engine.machine_memory import available_memory_bytes
from cortex.engine.stream import Event, Resume, Vector
from cortex.engine.types import ChatRequest

from .answering import num_missing
from .bounds.admission import Admission, prompts_bytes
from .children.commands import text_spec
from .children.process import Spawn, spawn
from .children.text_side import TextSide
from .config import PeerConfig
from .devices.gpus import Gpu
from .devices.hardware import look_for_gpus
from .devices.rack import Rack
from .devices.steering import NodeSteering
from .gossip.ids import ModelId
from .models.abilities import check_able
from .models.catalogue import Catalogue
from .models.shelf import AT_LENGTH_S, Shelf
from .observing.chronicle import Chronicle
from .observing.health import NodeHealth, Placement, child_health
from .observing.live import LiveRequest, LiveRequests
from .observing.recent import Recent
from .observing.stays import wait_s
from .observing.tally import PeerTally
from .one_request import Means, served
from .placement.costs_book import costs_book
from .placement.load_history import LoadHistory
from .types import ModelInfo


class Node:
    """Use as `async with Node(config) as node`; the children live as long as the block.

    `spawn` starts them.
    """

    def __init__(self, config: PeerConfig, spawn: Spawn = spawn) -> None:
        self.config = config
        self.tally = PeerTally()
        self.recent = Recent()
        self.chronicle = Chronicle(self.recent)
        self.live = LiveRequests()
        self._spawn = spawn
        self.history = LoadHistory(config.locations.state_dir / "learned.json")
        self.costs = costs_book(config, lambda model: self._rack.devices.estimate(model))
        self.shelf = Shelf(lambda: self.config)
        self._watchers: list[Callable[[], None]] = []
        self._tasks = asyncio.TaskGroup()
        given_bytes = config.max_prepared_bytes
        if given_bytes is None:
            given_bytes = prompts_bytes(available_memory_bytes())
        self.max_prepared_bytes = given_bytes
        self._admission = Admission(
            config.max_live_requests,
            self.max_prepared_bytes,
            self._changed,
            lambda: wait_s(self.tally.stay_s, self._admission.live_requests, 0),
        )
        self._counting = Admission(config.max_live_counts, max_bytes=0)
        self._stored: tuple[Catalogue | None, object, tuple[ModelInfo, ...]] = None, None, ()
        self._is_ending = False

    async def __aenter__(self) -> Self:
        await self.shelf.look(AT_LENGTH_S)
        await asyncio.to_thread(self.history.read)
        await asyncio.to_thread(self.costs.read)
        await self._tasks.__aenter__()
        self._text = TextSide(text_spec(self.config), self._tasks, self._spawn)
        self._rack = Rack(
            self.config,
            await look_for_gpus(self.config),
            self._tasks,
            self._spawn,
            self.history,
            self.costs,
            self.tally,
            self.chronicle,
            self.shelf,
            self._changed,
        )
        await self._rack.devices.ask_for_memory()
        self._means = Means(
            self.shelf, self._text, self._rack, self.tally, self.recent, self._admission
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self._text.slot.close(), self._rack.close(), self.save())
        # The block's own error is not the group's: it leaves as it is, not in an ExceptionGroup.
        await self._tasks.__aexit__(None, None, None)

    async def save(self) -> None:
        """Keep what was learned for the peer's next life."""
        await asyncio.gather(self.history.save(), self.costs.save())

    async def learn(self, weights: ModelId) -> None:
        """Find out what a model here takes. Raises what is wrong with its files."""
        for model in self.stored:
            if model.weights == weights:
                with contextlib.suppress(EngineFailed):  # others may have one that runs
                    await self.costs.find(model)
                return

    async def take_stock(self) -> None:
        """Offer what has come to the disks, at once."""
        await self.shelf.weigh()
        self._changed()

    async def survey(self) -> None:
        """Find out what the models here would take, as far as that costs nobody anything."""
        await self._rack.devices.survey(self.stored)

    @property
    def health(self) -> NodeHealth:
        return NodeHealth(
            engines=tuple(
                child_health(engine.slot, is_still=engine.is_still)
                for engine in self._rack.devices.engines
            ),
            text=child_health(self._text.slot),
            live_requests=self._admission.live_requests,
            is_draining=self._admission.is_draining,
        )

    @property
    def placement(self) -> Placement:
        """What is on the devices, on its way there, and waited for."""
        return self._rack.placement

    @property
    def gpus(self) -> Sequence[Gpu]:
        """As the driver showed them last; none where no device is one, or nobody tells."""
        return self._rack.devices.gpus

    async def freshen(self) -> None:
        """Return when what is known of the devices is new enough to be shown, soon in any case."""
        await self._rack.freshen()

    def watched(self) -> AbstractContextManager[None]:
        """Somebody looks on, who is to see what is so now."""
        return self._rack.watched()

    @property
    def steering(self) -> NodeSteering:
        return self._rack.steering

    async def reconfigure(self, config: PeerConfig) -> None:
        """From now on this is the config: of what requests and loads are judged by, and of where
        models lie. What the children were started with stays as it is.
        """
        self.config = config
        await self.shelf.look(AT_LENGTH_S)
        self._rack.reform(config)

    @property
    def num_places(self) -> int:
        """How many requests are answered at one time: by what is loaded, as far as that is bounded,
        else by this peer at all. A gateway answers none itself.
        """
        if self.config.is_gateway:
            return 0
        ready = [place.loaded for place in self._rack.residency.places if place.loaded is not None]
        bounded = [loaded.num_slots for loaded in ready]
        return sum(bounded) if bounded and all(bounded) else self.config.max_live_requests

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call this whenever `health` or `placement` has changed; what is returned ends that."""
        self._watchers.append(on_change)
        return functools.partial(self._watchers.remove, on_change)

    @property
    def stored(self) -> tuple[ModelInfo, ...]:
        """The models on this peer's disks when it last looked, in search order, each with as much
        context as it can have here. They are the same object until that changes.
        """
        catalogue, terms = self.shelf.catalogue, self._rack.terms
        if self._stored[0] is not catalogue or self._stored[1] != terms:
            self._stored = catalogue, terms, tuple(map(self._rack.listed, catalogue.models))
        return self._stored[2]

    def wake(self) -> None:
        """Begin to start the children: whoever needs one later waits less for it."""
        if self.config.is_gateway:
            return
        self._text.slot.wake()
        self._rack.devices.wake()

    async def models(self) -> tuple[ModelInfo, ...]:
        """What can be served now, looked up afresh; the first one is the default.

        Aliases stand behind the models, each as one of its own.
        """
        await self.shelf.look()
        return tuple(self.config.names.listed(self.stored))

    async def preload(self, model_id: str) -> None:
        """Return when the model is in the engine.

        Raises ModelNotFound, or what the load failed with.
        """
        model = await self.shelf.find(model_id)
        self.wake()
        await self._rack.residency.summon(model, lambda _: None)

    def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        """`serve`, of a request for answers, not for a vector."""
        # A vector comes only where one is wished for.
        return cast(AsyncGenerator[Event], self.serve(request))

    def serve(
        self,
        request: ChatRequest,
        live: LiveRequest | None = None,
        resume: Resume | None = None,
        num_losses: int = 0,
    ) -> AsyncGenerator[Event | Vector]:
        """The events of a request: stages, one Accepted, stages again, text, a Finished a choice;
        or the vector that was wished for.

        Closing the iterator cancels the work. Raises CortexErrors; those of a request that cannot
        be served at all come before Accepted. `live` is told what becomes of it. With `resume` only
        the rest of an answer comes: raises CannotContinue where it would not be the same answer.
        `num_losses` engines have ended under it, at other peers or here.
        """
        # Each choice costs the engine what a request does.
        admission = self._admission.admitted(num_missing(request, resume))
        return served(self._means, request, live, admission, resume, num_losses)

    async def count(self, request: ChatRequest) -> int:
        """How many tokens the request's prompt has, pictures included.

        It needs no weights and waits for no engine, and is never refused because requests fill
        this peer. Raises as `serve` does before it accepts, but not for the length.
        """
        with self._counting.admitted(1):
            model = await self.shelf.find(request.model)
            check_able(model.id, model.capabilities, request, self.shelf.suggestion())
            return await self._text.count(secrets.token_hex(8), model, request)

    def begin_drain(self) -> None:
        """Take no more requests."""
        self._admission.close()
        self._counting.close()

    def end_drain(self) -> None:
        """Take requests again. Raises Overloaded where this peer ends."""
        if self._is_ending:
            raise Overloaded("this peer is ending, and takes no more requests", "start it again")
        self._admission.open()
        self._counting.open()

    async def idle(self) -> None:
        """Return when no request is under way."""
        await asyncio.gather(self._admission.idle(), self._counting.idle())

    async def drained(self) -> None:
        """Take no more requests, for good; return when the last one has ended."""
        self._is_ending = True
        self.begin_drain()
        await self.idle()

    def _changed(self) -> None:
        for on_change in self._watchers:
            on_change()
