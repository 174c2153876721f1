"""Which requests a benchmark sends: to endpoints that exist in the test alone, and to real ones."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from cortex.peer.api.streaming import HEADERS
from cortex.peer.config import PeerConfig
from cortex.peer.dialects import events
from cortex.peer.errors import NoPeer, NotMeasurable
from cortex.peer.measure.endpoint import open_endpoint
from cortex.peer.measure.questions import Question, Way, fit_words
from cortex.peer.measure.rounds import Plan, Sample, closed_loop, find_way, measure
from cortex.peer.measure.statistics import figures_of
from cortex.peer.measure.timeline import Arrival, Timeline
from cortex.peer.serving.server import serving

DEADLINE_S = 30
PLAN = Plan(
    model="m",
    concurrencies=(1, 4),
    prompt_tokens=100,
    output_tokens=20,
    rounds=2,
    requests=None,
    seed=0,
)


class FakeEndpoint:
    """Answers at once, and remembers what it was asked. A word costs it two tokens, a chat ten."""

    def __init__(self, *, takes_ids: bool = True, takes_extras: bool = True) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.under_way = 0
        self.most_under_way = 0
        self._takes_ids = takes_ids
        self._takes_extras = takes_extras

    async def ask(self, path: str, body: dict[str, Any]) -> Timeline:
        self.asked.append((path, body))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if path == "completions" and not self._takes_ids:
            return Timeline(0.0, 1.0, error="status 404")
        if "ignore_eos" in body and not self._takes_extras:
            return Timeline(0.0, 1.0, error="status 400 unknown_field")
        prompt: Any = body.get("prompt")
        counted = len(prompt) if prompt else 10 + 2 * len(body["messages"][0]["content"].split())
        return Timeline(0.0, 1.0, (Arrival(0.5),), prompt_tokens=counted)


async def collect(endpoint: FakeEndpoint, plan: Plan, way: Way) -> list[Sample]:
    async with aclosing(measure(endpoint, plan, way)) as samples:
        return [sample async for sample in samples]


async def test_an_endpoint_that_takes_token_ids_is_asked_with_them() -> None:
    assert await find_way(FakeEndpoint(), PLAN) == Way("completions", has_extras=True)


async def test_an_endpoint_that_knows_openais_fields_alone_is_asked_with_those() -> None:
    way = await find_way(FakeEndpoint(takes_extras=False), PLAN)
    assert way == Way("completions", has_extras=False)
    body = way.body("m", Question((40, 41), 5))
    assert "ignore_eos" not in body
    assert "return_token_ids" not in body


async def test_in_chat_the_length_of_prompts_is_learned() -> None:
    endpoint = FakeEndpoint(takes_ids=False)
    way = await find_way(endpoint, PLAN)
    assert (way.kind, way.overhead_tokens, way.tokens_per_word) == ("chat", 10.0, 2.0)
    samples = await collect(endpoint, PLAN, way)
    assert {sample.timeline.prompt_tokens for sample in samples} == {100}


async def test_a_picture_is_asked_about_in_chat() -> None:
    way = await find_way(FakeEndpoint(takes_ids=False), replace(PLAN, prompt_tokens=10))
    body = way.body("m", Question("what is it", 5), b"pixels")
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]


async def test_an_endpoint_that_refuses_everything_is_not_measurable() -> None:
    class Closed:
        async def ask(self, path: str, body: dict[str, Any]) -> Timeline:
            return Timeline(0.0, 1.0, error="status 404 model_not_found")

    with pytest.raises(NotMeasurable, match="'m': status 404 model_not_found"):
        await find_way(Closed(), PLAN)


async def test_every_round_asks_its_requests_and_the_warm_up_is_dropped() -> None:
    endpoint = FakeEndpoint()
    samples = await collect(endpoint, PLAN, Way("completions", has_extras=True))
    counts = {
        (level, number): sum((s.concurrency, s.round) == (level, number) for s in samples)
        for level in (1, 4)
        for number in (0, 1)
    }
    assert counts == {(1, 0): 4, (1, 1): 4, (4, 0): 8, (4, 1): 8}
    assert len(endpoint.asked) == len(samples) + 1 + 4
    lengths = [body["max_tokens"] for _, body in endpoint.asked]
    assert (lengths[0], lengths[1]) == (8, 20)


async def test_no_prompt_is_asked_twice_and_a_seed_gives_the_same_ones_again() -> None:
    async def prompts(seed: int) -> list[tuple[int, ...]]:
        endpoint = FakeEndpoint()
        await collect(endpoint, replace(PLAN, seed=seed), Way("completions", has_extras=True))
        return [tuple(body["prompt"]) for _, body in endpoint.asked]

    first = await prompts(0)
    assert len(set(first)) == len(first)
    assert await prompts(0) == first
    assert not set(await prompts(1)) & set(first)


async def test_so_many_requests_are_under_way_as_the_level_says_and_never_more() -> None:
    endpoint = FakeEndpoint()
    way = Way("completions", has_extras=True)
    await collect(endpoint, replace(PLAN, concurrencies=(3,), requests=9), way)
    assert endpoint.most_under_way == 3


async def test_a_closed_loop_that_is_left_cancels_what_is_under_way() -> None:
    ended: list[str] = []

    async def ask(question: Question) -> int:
        if question.output_tokens == 1:
            return 1
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return 2

    async with aclosing(closed_loop(ask, [Question("", 1), Question("", 2)], 2)) as answers:
        assert await anext(answers) == 1
    assert ended == ["cancelled"]


def test_words_are_fitted_to_what_was_counted() -> None:
    assert fit_words((10, 35), (110, 335)) == (5.0, 3.0)


def test_an_endpoint_that_counts_nothing_gives_no_endless_prompts() -> None:
    assert fit_words((10, 0), (110, 0))[1] == 1.0


@asynccontextmanager
async def endpoint_that(
    answer: Callable[[web.Request], Any],
    path: str = "/v1/completions",
) -> AsyncGenerator[str]:
    app = web.Application()
    app.add_routes([web.route("*", path, answer)])
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        async with asyncio.timeout(DEADLINE_S):
            yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


async def test_over_the_network_token_ids_and_usage_arrive() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        for number in range(body["max_tokens"]):
            await response.write(events.data({"choices": [{"text": "a", "token_ids": [number]}]}))
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": body["max_tokens"]}
        await response.write(events.data({"choices": [], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
        return response

    plan = replace(PLAN, concurrencies=(2,), rounds=1)
    async with endpoint_that(answer) as url, open_endpoint(url, time.perf_counter) as endpoint:
        way = await find_way(endpoint, plan)
        async with aclosing(measure(endpoint, plan, way)) as samples:
            timelines = [sample.timeline async for sample in samples]
    figures = figures_of(timelines)
    assert (figures.num_answered, figures.output_tokens, figures.prompt_tokens) == (4, 80, 400)
    assert figures.is_per_token
    assert {timeline.token_ids for timeline in timelines} == {tuple(range(20))}


async def test_a_refusal_is_named_by_its_status_and_code() -> None:
    async def answer(request: web.Request) -> web.Response:
        told = {"error": {"message": "full", "code": "overloaded"}}
        return web.json_response(told, status=503)

    async with endpoint_that(answer) as url, open_endpoint(url, time.perf_counter) as endpoint:
        seen = await endpoint.ask("completions", {})
    assert seen.error == "status 503 overloaded"


async def test_nobody_at_an_address_is_said_with_the_address() -> None:
    async with open_endpoint("http://127.0.0.1:9/v1", time.perf_counter) as endpoint:
        with pytest.raises(NoPeer, match=r"127\.0\.0\.1:9/v1 \(Connection refused\)"):
            await endpoint.models()
        assert (await endpoint.ask("completions", {})).error == "ClientConnectorError"


async def test_an_address_that_is_no_endpoint_is_said_with_what_it_answered() -> None:
    async def nothing(request: web.Request) -> web.Response:
        return web.Response()

    async with endpoint_that(nothing) as url, open_endpoint(url, time.perf_counter) as endpoint:
        with pytest.raises(NoPeer, match="status 404"):
            await endpoint.models()


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ((["completion"], ["text", "vision"]), "b"),
        (({"completion_chat": True}, None), "a"),  # in others' words: as they list them
        ((["embedding"], ["completion"]), "a"),
    ],
)
async def test_who_is_said_to_chat_is_listed_first(said: tuple[Any, Any], first: str) -> None:
    async def models(request: web.Request) -> web.Response:
        told = [{"id": name, "capabilities": each} for name, each in zip("ab", said, strict=True)]
        return web.json_response({"data": told})

    async with (
        endpoint_that(models, "/v1/models") as url,
        open_endpoint(url, time.perf_counter) as endpoint,
    ):
        assert (await endpoint.models())[0] == first


async def test_a_real_peer_is_measured(make_config: Callable[..., PeerConfig]) -> None:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(make_config()) as server,
        open_endpoint(f"http://{server.address}/v1", time.perf_counter) as endpoint,
    ):
        plan = replace(PLAN, model=(await endpoint.models())[0], rounds=1)
        way = await find_way(endpoint, plan)
        async with aclosing(measure(endpoint, plan, way)) as samples:
            timelines = [sample.timeline async for sample in samples]
    assert json.dumps([timeline.error for timeline in timelines if timeline.error]) == "[]"
    assert figures_of(timelines).output_tokens > 0
