"""A benchmark: which requests are sent when. What they come to is `statistics`.

Closed loop: at concurrency c there are always c requests under way while any are left. A level is
warmed up once, and what came of that is dropped; the rounds of all levels take turns, so that a
machine that slows down slows every level.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from ..errors import NotMeasurable
from .questions import Question, Way, fit_words
from .timeline import Timeline

T = TypeVar("T")

_PROBE_TOKENS = 16
_PROBE_WORDS = (16, 144)
_WARM_UP_OUTPUT_TOKENS = 8
_FEWEST_REQUESTS = 4
# Statuses by which endpoints say that a field, or the shape of one, is not theirs.
_REFUSALS = ("status 400", "status 422")


class Askable(Protocol):
    async def ask(self, path: str, body: dict[str, Any]) -> Timeline: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured. `requests` is for each round; None means two for each one under way."""

    model: str
    concurrencies: tuple[int, ...]
    prompt_tokens: int
    output_tokens: int
    rounds: int
    requests: int | None
    seed: int
    image: bytes | None = None

    def requests_at(self, concurrency: int) -> int:
        return self.requests or max(_FEWEST_REQUESTS, 2 * concurrency)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of one round. Rounds count from 0."""

    concurrency: int
    round: int
    timeline: Timeline


async def find_way(endpoint: Askable, plan: Plan) -> Way:
    """How this endpoint can be asked: as exactly as it allows.

    Raises NotMeasurable where it answers to nothing.
    """
    if plan.image is None:
        for has_extras in (True, False):
            way = Way("completions", has_extras)
            seen = await _probe(endpoint, plan, way, _PROBE_TOKENS)
            # Some servers take a list of ids for something else; they count another length.
            if seen.is_answered and seen.prompt_tokens in (None, _PROBE_TOKENS):
                return way
            if not seen.error.startswith(_REFUSALS):
                break
    return await _find_chat(endpoint, plan)


async def _find_chat(endpoint: Askable, plan: Plan) -> Way:
    seen = None
    for has_extras in (True, False):
        way = Way("chat", has_extras)
        few, many = _PROBE_WORDS
        seen = await _probe(endpoint, plan, way, few)
        if seen.is_answered:
            longer = await _probe(endpoint, plan, way, many)
            if seen.prompt_tokens is None or longer.prompt_tokens is None:
                return way
            fitted = fit_words((few, seen.prompt_tokens), (many, longer.prompt_tokens))
            return replace(way, overhead_tokens=fitted[0], tokens_per_word=fitted[1])
        if not seen.error.startswith(_REFUSALS):
            break
    assert seen is not None
    raise NotMeasurable(
        f"the endpoint does not answer for model '{plan.model}': {seen.error or 'no token came'}",
        "its log may say why; GET /models there lists what can be asked",
    )


async def _probe(endpoint: Askable, plan: Plan, way: Way, length: int) -> Timeline:
    source = random.Random(f"{plan.seed} probe {way.kind} {length}")
    question = way.question(source, length, output_tokens=2)
    return await endpoint.ask(way.path, way.body(plan.model, question, plan.image))


async def measure(endpoint: Askable, plan: Plan, way: Way) -> AsyncGenerator[Sample]:
    """Every request of the benchmark, as it ends."""

    def ask(question: Question) -> Awaitable[Timeline]:
        return endpoint.ask(way.path, way.body(plan.model, question, plan.image))

    for number in range(plan.rounds):
        for concurrency in plan.concurrencies:
            if number == 0:
                async with aclosing(_loop(ask, plan, way, concurrency, None)) as dropped:
                    async for _ in dropped:
                        pass
            async with aclosing(_loop(ask, plan, way, concurrency, number)) as timelines:
                async for timeline in timelines:
                    yield Sample(concurrency, number, timeline)


def _loop(
    ask: Callable[[Question], Awaitable[Timeline]],
    plan: Plan,
    way: Way,
    concurrency: int,
    number: int | None,
) -> AsyncGenerator[Timeline]:
    """A round, or where `number` is None the warm-up before the first."""
    count = concurrency if number is None else plan.requests_at(concurrency)
    output_tokens = plan.output_tokens
    if number is None:
        output_tokens = min(output_tokens, _WARM_UP_OUTPUT_TOKENS)
    source = random.Random(f"{plan.seed} {concurrency} {number}")
    # Made when they are sent: a million of them would take minutes, and gigabytes.
    questions = (way.question(source, plan.prompt_tokens, output_tokens) for _ in range(count))
    return closed_loop(ask, questions, concurrency)


async def closed_loop(
    ask: Callable[[Question], Awaitable[T]], questions: Iterable[Question], concurrency: int
) -> AsyncGenerator[T]:
    """Ask every question, `concurrency` at a time; the answers come in the order they end."""
    ended: asyncio.Queue[tuple[T] | None] = asyncio.Queue()
    waiting = iter(questions)
    # No task group: one that is left by the closing of a generator makes an error of it.
    askers = [asyncio.create_task(_ask_all(ask, waiting, ended)) for _ in range(concurrency)]
    num_asking = concurrency
    try:
        while num_asking:
            answer = await ended.get()
            if answer is None:
                num_asking -= 1
            else:
                yield answer[0]
        await asyncio.gather(*askers)
    finally:
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)


async def _ask_all(
    ask: Callable[[Question], Awaitable[T]],
    waiting: Iterator[Question],
    ended: asyncio.Queue[tuple[T] | None],
) -> None:
    """Ask until nothing waits, however fast the answers are taken; None is the end."""
    try:
        for question in waiting:
            ended.put_nowait((await ask(question),))
    finally:
        ended.put_nowait(None)
