"""One request's way at this peer: the text process makes its prompt, residency finds it an engine,
the engine makes its answer, and all of it is counted.

That it is admitted at all, and how many are, is decided before.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from cortex.engine.stream import Accepted, Event, Resume, Stage, Vector
from cortex.engine.types import ChatRequest

from .answering import Answering, num_made, num_missing
from .bounds.admission import Admission
from .children.text_side import TextSide
from .devices.rack import Rack
from .errors import CannotContinue
from .models.abilities import check_able
from .models.shelf import Shelf
from .observing.live import LiveRequest
from .observing.recent import Recent
from .observing.tally import PeerTally, RequestMeter
from .placement.context_room import context_room

E = TypeVar("E", bound=Event | Vector)


@dataclass(frozen=True, slots=True)
class Means:
    """What a request takes here. `wake` begins to start the children."""

    shelf: Shelf
    text: TextSide
    rack: Rack
    tally: PeerTally
    recent: Recent
    admission: Admission


async def served(
    means: Means,
    request: ChatRequest,
    live: LiveRequest | None,
    admission: AbstractContextManager[None],
    resume: Resume | None = None,
    num_losses: int = 0,
) -> AsyncGenerator[Event | Vector]:
    """Its events, counted on their way: one generator, for all pass through it."""
    clock = asyncio.get_running_loop().time
    began_s = clock()
    live = live or LiveRequest("-", "-", "-", began_s)  # nobody looks at this one
    with admission:
        model = await means.shelf.find(request.model)
        live.model_id = model.id
        tally = means.tally.of(model.id)
        missing, is_rest = num_missing(request, resume), resume is not None
        with RequestMeter(
            tally, missing, began_s, clock, is_rest=is_rest, recent=means.recent
        ) as meter:
            told = functools.partial(_told, meter, live, clock)
            check_able(model.id, model.capabilities, request, means.shelf.suggestion())
            request_id = secrets.token_hex(8)
            yield told(Stage("preparing"))
            # A cold engine takes seconds to start: let it do so while the prompt is made.
            means.rack.wake(model)
            with means.rack.explained(model):
                prepared = await means.text.prepare(request_id, means.rack.offered(model), request)
            if resume is not None and resume.prompt_hash != prepared.prompt_hash:
                raise CannotContinue(
                    f"another prompt is made here for '{model.id}' than where the answer began",
                    "send the request again",
                )
            with means.admission.holding(memoryview(prepared.prompt).nbytes):
                yield told(
                    Accepted(
                        prepared.prompt_tokens,
                        prepared.images,
                        prepared.max_tokens,
                        prepared.prompt_hash,
                    )
                )
                answering = Answering(
                    means.rack.devices,
                    means.rack.residency,
                    meter,
                    request_id,
                    model,
                    prepared.prompt,
                    num_choices=request.num_choices,
                    priority=request.priority,
                    resume=resume,
                    num_losses=num_losses,
                    room=context_room(
                        prepared.prompt_tokens,
                        request.max_tokens,
                        num_made(resume),
                        most_tokens=prepared.max_tokens,
                    ),
                )
                del prepared
                with answering, means.rack.explained(model, is_made=True):
                    while answering.num_unfinished:
                        yield told(await answering.next())


def _told(meter: RequestMeter, live: LiveRequest, clock: Callable[[], float], event: E) -> E:
    """The event, once those who count have seen it."""
    meter.saw(event)
    live.note(event, clock)
    return event
