"""Several requests of one client as one stream of events: the prompts of a plain completion.

It knows no HTTP. Choices are numbered prompt by prompt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from cortex.engine.stream import Accepted, Event, Finished, Piece


async def merged(
    requests: Sequence[AsyncGenerator[Event]], num_choices: int
) -> AsyncGenerator[Event]:
    """The events of all, as they come; one Accepted, once every prompt is, before any text.

    Raises the first error there is, and stops the others then, or when this is closed.
    """
    waiting_for = len(requests)
    accepted: list[Accepted] = []
    early: list[Event] = []
    async with aclosing(_interleaved(requests)) as arrivals:
        async for place, event in arrivals:
            if isinstance(event, Piece | Finished):
                event = replace(event, choice=place * num_choices + event.choice)
                if len(accepted) < waiting_for:
                    early.append(event)
                    continue
            elif isinstance(event, Accepted):
                accepted.append(event)
                if len(accepted) == waiting_for:
                    yield _together(accepted)
                    for held in early:
                        yield held
                continue
            yield event


async def _interleaved(
    sources: Sequence[AsyncGenerator[Event]],
) -> AsyncGenerator[tuple[int, Event]]:
    coming = {asyncio.ensure_future(anext(source)): place for place, source in enumerate(sources)}
    try:
        while coming:
            done, _ = await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=coming.__getitem__):
                place = coming.pop(task)
                try:
                    event = task.result()
                except StopAsyncIteration:
                    continue
                coming[asyncio.ensure_future(anext(sources[place]))] = place
                yield place, event
    finally:
        for task in coming:
            task.cancel()
        # Those that have failed as well are heard, and not told of: one reason is enough.
        await asyncio.gather(*coming, return_exceptions=True)
        for source in sources:
            await source.aclose()


def _together(accepted: Sequence[Accepted]) -> Accepted:
    return Accepted(
        sum(one.prompt_tokens for one in accepted),
        tuple(image for one in accepted for image in one.images),
        max(one.max_tokens for one in accepted),
    )
