"""What one host brings of an answer, here or over the hop: the rest of it, or an error.

Who is asked, and who after it, is decided elsewhere; the breakers are told how it went.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, contextmanager

from msgspec.structs import replace

from cortex.engine.errors import CortexError, EngineFailed, Overloaded
from cortex.engine.stream import Event, Finished, Piece, Vector

from ..errors import EngineReplaced, HostLeaving
from ..hop.hops import Hops
from ..node import Node
from .asked import Asked
from .candidates import Candidate
from .catalogue import Eta
from .choosing import Chooser, shown_wait_s
from .tries import fault_of


class Attempts:
    """`eta_s` is how long loads take. `on_heard` is told of a request that a host works on, and
    `on_answer` at each part of its answer who gave it.
    """

    def __init__(
        self,
        local: Node,
        hops: Hops,
        chooser: Chooser,
        eta_s: Eta,
        on_heard: Callable[[Asked], None],
        on_answer: Callable[[Asked, Candidate], None],
        clock: Callable[[], float],
    ) -> None:
        self._local = local
        self._hops = hops
        self._chooser = chooser
        self._eta_s = eta_s
        self._on_heard = on_heard
        self._on_answer = on_answer
        self._clock = clock

    async def events(self, asked: Asked, host: Candidate) -> AsyncGenerator[Event | Vector]:
        transcript = asked.transcript
        with self._judged(host, asked) as heard:
            async with aclosing(self._open(host, asked)) as events:
                while not transcript.is_whole:
                    event = await self._next(events, asked)
                    if asked.heard(event, self._clock()):
                        self._move_on(asked, host)
                    self._on_heard(asked)
                    if isinstance(event, Piece | Finished | Vector):
                        heard()
                        self._on_answer(asked, host)
                    for told in transcript.hear(event):
                        asked.live.note(told, self._clock)
                        yield told
                    if isinstance(event, Vector):
                        return

    def _open(self, host: Candidate, asked: Asked) -> AsyncGenerator[Event | Vector]:
        resume, num_losses = asked.transcript.resume(), asked.num_losses
        request = replace(asked.transcript.request, model=host.holder.id)
        if host.is_self:
            return self._local.serve(request, None, resume, num_losses)
        return self._hops.ask(host.node, asked.model.weights, request, resume, num_losses)

    def _move_on(self, asked: Asked, host: Candidate) -> None:
        """Its host has lost the engine, and will go on with the next one.

        Raises EngineReplaced where that would take longer than another peer's going on.
        """
        if self._chooser.moves_elsewhere(asked.model, asked.wish(), host.life):
            raise EngineReplaced(f"the engine of {host.name} has ended", "send the request again")

    async def _next(self, events: AsyncGenerator[Event | Vector], asked: Asked) -> Event | Vector:
        """The host's next event; whoever sees no stages waits for a load no longer than is due.

        Raises Overloaded then, with the time that the load still takes.
        """
        try:
            async with asyncio.timeout_at(asked.cold_until_s):
                return await anext(events)
        except StopAsyncIteration:
            raise EngineFailed("it ended before its end", "send it again") from None
        except TimeoutError:
            eta_s = self._eta_s(asked.model.weights, asked.model.size_bytes)
            raise Overloaded(
                f"'{asked.model.id}' is being loaded on {asked.live.host}",
                "try again when it is, or stream the answer to see how far it is",
                retry_after_s=None if eta_s is None else shown_wait_s(eta_s),
            ) from None

    @contextmanager
    def _judged(self, host: Candidate, asked: Asked) -> Generator[Callable[[], None]]:
        """The breaker's part, once at the end: what is given says that the host does its work."""
        breakers, who = self._chooser.breakers, (host.node, asked.model.weights)
        has_heard = False
        breakers.tried(*who)

        def heard() -> None:
            nonlocal has_heard
            if not has_heard:
                breakers.untried(*who)  # nobody has to wait for the end of a long answer
            has_heard = True

        try:
            yield heard
        except CortexError as error:
            has_heard = False
            is_fault = fault_of(error) in ("broken", "lost", "failed")
            # Whoever leaves in order has not failed: it may be back at once.
            is_excused = isinstance(error, HostLeaving) or asked.tries.is_redial(host, error)
            if is_fault and not is_excused:
                breakers.failed(*who, self._clock())
            raise
        finally:
            if has_heard:
                breakers.succeeded(*who, self._clock())
            else:
                breakers.untried(*who)
