"""The vectors of one call, a few at a time, out of the events of a request for each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager

from cortex.engine.errors import EngineFailed
from cortex.engine.stream import Event, Vector
from cortex.engine.types import ChatRequest

from .bounds.admission import Admission
from .lanes import in_lanes

Serve = Callable[[ChatRequest], AsyncGenerator[Event | Vector]]


@asynccontextmanager
async def vectors_of(
    requests: Sequence[ChatRequest], num_lanes: int, serve: Serve, admission: Admission
) -> AsyncGenerator[list[Vector]]:
    """In the order of the requests, held while the block lasts. Raises the first error that one of
    them ends with.
    """
    with ExitStack() as held:

        async def make(request: ChatRequest) -> Vector:
            vector = await _vector(request, serve)
            held.enter_context(admission.holding(len(vector.data)))
            return vector

        yield await in_lanes(make, requests, num_lanes)


async def _vector(request: ChatRequest, serve: Serve) -> Vector:
    async with aclosing(serve(request)) as events:
        async for event in events:
            if isinstance(event, Vector):
                return event
    raise EngineFailed(f"the vector of '{request.model}' never came", "send it again")
