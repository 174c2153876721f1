"""One request whose prompt is made: its turn at the engine, and its answers from there.

It outlives engines: where one dies, the next is given the prompt and the tokens so far. Who gets
the engine when is decided in `residency.py`; it knows nothing of clients or of the text process.
"""

from __future__ import annotations

import functools
from typing import Self

import msgspec

from cortex.engine.stream import Began, Event, Finished, Resume, Vector
from cortex.engine.types import ChatRequest

from .children.engine_side import Attempt, EngineSide
from .children.mailbox import Mailbox
from .devices.device import Devices
from .devices.places import Place, Ticket
from .devices.residency import Residency
from .errors import CannotContinue
from .observing.tally import RequestMeter
from .placement.context_room import ContextRoom
from .types import ModelInfo


class Answering:
    """Work for it is done within its block. `prompt` is kept to the end: the next engine needs it
    where this one dies. With `resume` only what is missing of the answer is made. So many engines
    have died under it before it came here. `room` is how much context it takes.
    """

    def __init__(
        self,
        devices: Devices,
        residency: Residency,
        meter: RequestMeter,
        request_id: str,
        model: ModelInfo,
        prompt: msgspec.Raw,
        *,
        num_choices: int,
        priority: int,
        resume: Resume | None = None,
        num_losses: int = 0,
        room: ContextRoom = ContextRoom(),  # noqa: B008 - frozen
    ) -> None:
        self._devices = devices
        # Of the place that it has been granted last.
        self._engine: EngineSide | None = None
        self._residency = residency
        self._meter = meter
        self._prompt = prompt
        self._priority = priority
        # How its tokens were computed, "" while there are none.
        self._computes_in = "" if resume is None else resume.computes_in
        given = (() for _ in range(num_choices)) if resume is None else resume.token_ids
        missing = {choice: ids for choice, ids in enumerate(given) if ids is not None}
        self._mailbox = Mailbox(missing)
        # The engine knows each choice as a request of its own.
        self._attempt_ids = {choice: f"{request_id}.{choice}" for choice in missing}
        self._running = set(self._attempt_ids.values())
        self._num_losses_elsewhere = num_losses
        # Choices whose end has not been told.
        self.num_unfinished = len(missing)
        self._ticket = Ticket(
            model,
            self._mailbox.put_stage,
            self._begin,
            self._mailbox.end,
            num_losses=num_losses,
            room=room,
            is_rest=resume is not None,
        )

    def __enter__(self) -> Self:
        model = self._ticket.model
        place = self._residency.places.of(model.id)
        is_cold = place is None or place.loaded is None
        precision = self._devices.precision_of(model) if is_cold and self._computes_in else ""
        if self._computes_in.startswith(precision):
            self._residency.ask(self._ticket)
        else:  # nothing is loaded for what could not be gone on with then
            self._mailbox.end(_differs(model.id, precision, self._computes_in))
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine is not None:
            for attempt_id in self._attempt_ids.values():
                self._engine.cancel(attempt_id)
        self._residency.give_back(self._ticket)
        # The ticket's functions hold this, and this held the ticket: a prompt may weigh much, and
        # must not wait for the collector of such circles.
        del self._ticket

    async def next(self) -> Event | Vector:
        """What happens next. Not to be asked once all choices have ended."""
        event = await self._mailbox.get()
        self.num_unfinished -= isinstance(event, Finished | Vector)
        return event

    def _begin(self, place: Place) -> None:
        """An engine is there: let it begin what has not ended, or go on with it."""
        self._engine = engine = self._devices.engines[place.device]
        computes_in = place.computes_in
        if self._computes_in not in ("", computes_in):
            self._mailbox.end(_differs(self._ticket.model.id, computes_in, self._computes_in))
            return
        is_cold = self._ticket.asked_s < place.ready_s
        evicted = tuple(victim.id for victim in place.victims) if is_cold else ()
        self._mailbox.put_began(Began(computes_in, is_cold, evicted))
        attempts = [
            Attempt(
                attempt_id,
                self._ticket.num_losses + 1,
                self._mailbox,
                on_tokens=functools.partial(self._made, choice, computes_in),
                on_end=functools.partial(self._end, attempt_id),
                choice=choice,
                priority=self._priority,
            )
            for choice, attempt_id in self._attempt_ids.items()
            if attempt_id in self._running
        ]
        engine.start(attempts, self._ticket.model.id, self._prompt)
        for _ in attempts:
            self._meter.began(self._ticket.num_losses - self._num_losses_elsewhere)

    def _made(self, choice: int, computes_in: str, num_tokens: int) -> None:
        self._computes_in = computes_in
        self._meter.made(choice, num_tokens)

    def _end(self, attempt_id: str) -> None:
        self._running.discard(attempt_id)
        if not self._running:
            self._residency.give_back(self._ticket)


def num_missing(request: ChatRequest, resume: Resume | None) -> int:
    """How many choices have not ended."""
    if resume is None:
        return request.num_choices
    return sum(token_ids is not None for token_ids in resume.token_ids)


def num_made(resume: Resume | None) -> int:
    """How many tokens the longest of the choices has that have not ended."""
    token_ids = () if resume is None else resume.token_ids
    return max((len(ids) for ids in token_ids if ids is not None), default=0)


def _differs(model_id: str, computes_in: str, began_in: str) -> CannotContinue:
    return CannotContinue(
        f"'{model_id}' computes in {computes_in} here, and the answer began in {began_in}",
        "send the request again",
    )
