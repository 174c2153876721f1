"""POST /v1/embeddings, with the fake engine: a vector of it is a hash of all its tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from cortex.engine.errors import CortexError
from cortex.engine.fake import FakeConfig
from cortex.engine.stream import Vector
from cortex.engine.types import ChatRequest, RawText, VectorWish
from cortex.peer.config import PeerConfig
from cortex.peer.errors import AttemptsExhausted
from cortex.peer.serving.server import Server
from cortex.peer.serving.server import serving as serving_with
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
DEADLINE_S = 30
PATH = "/v1/embeddings"
SIZE = 32  # of the fake model


@asynccontextmanager
async def asking(config: PeerConfig) -> AsyncGenerator[tuple[Server, aiohttp.ClientSession]]:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):
        yield server, session


async def post(session: aiohttp.ClientSession, **fields: Any) -> dict[str, Any]:
    async with session.post(PATH, json={"model": "fake", "input": "Hello"} | fields) as response:
        reply = await response.json()
        assert response.status == 200, reply
        assert response.headers["x-request-id"]
        return reply


async def refusal(session: aiohttp.ClientSession, **fields: Any) -> tuple[int, dict[str, Any]]:
    async with session.post(PATH, json={"model": "fake", "input": "Hello"} | fields) as response:
        return response.status, (await response.json())["error"]


def vectors_of(reply: dict[str, Any]) -> list[list[float]]:
    return [item["embedding"] for item in reply["data"]]


async def test_inputs_in_any_form_give_their_vectors_in_their_order(make_config: MakeConfig):
    async with asking(make_config()) as (_, session):
        alone = await post(session)
        assert alone["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
        [vector] = vectors_of(alone)
        assert len(vector) == SIZE
        assert sum(value**2 for value in vector) == pytest.approx(1)

        texts = [f"text {n}" for n in range(40)]
        many = await post(session, input=texts)
        assert [item["index"] for item in many["data"]] == list(range(40))
        assert many["usage"]["prompt_tokens"] == sum(map(len, texts))
        assert len({tuple(v) for v in vectors_of(many)}) == 40
        assert vectors_of(await post(session, input=texts[7])) == [vectors_of(many)[7]]
        # The fake model's tokens are bytes.
        ids = [list(text.encode()) for text in texts[:2]]
        assert vectors_of(await post(session, input=ids)) == vectors_of(many)[:2]
        assert vectors_of(await post(session, input=ids[0])) == vectors_of(many)[:1]


async def test_fewer_dimensions_are_the_first_at_length_one(make_config: MakeConfig):
    async with asking(make_config()) as (_, session):
        [whole] = vectors_of(await post(session))
        [few] = vectors_of(await post(session, dimensions=4))
    length = sum(value**2 for value in whole[:4]) ** 0.5
    assert few == pytest.approx([value / length for value in whole[:4]], abs=1e-6)


async def test_base64_holds_the_same_floats(make_config: MakeConfig):
    async with asking(make_config()) as (_, session):
        [text] = vectors_of(await post(session, encoding_format="base64"))
        [values] = vectors_of(await post(session, encoding_format="float"))
    assert list(struct.unpack(f"<{SIZE}f", base64.b64decode(str(text)))) == values


async def test_official_client_reads_vectors_both_ways(make_config: MakeConfig):
    async with asking(make_config()) as (server, _):
        base = f"http://{server.address}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
            # It asks for base64 where it is left to itself.
            packed = await client.embeddings.create(model="fake", input=["a", "b"])
            plain = await client.embeddings.create(
                model="fake", input=["a", "b"], encoding_format="float"
            )
            assert [item.embedding for item in packed.data] == [i.embedding for i in plain.data]
            assert (packed.model, packed.usage.total_tokens) == ("fake", 2)
            with pytest.raises(openai.BadRequestError) as caught:
                await client.embeddings.create(model="fake", input="a", dimensions=SIZE + 1)
            assert caught.value.param == "dimensions"
            with pytest.raises(openai.NotFoundError):
                await client.embeddings.create(model="nothing", input="a")


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"dimensions": 0}, 400, "invalid_request", "dimensions"),
        ({"dimensions": SIZE + 1}, 400, "invalid_request", "dimensions"),
        ({"input": ["a", ""]}, 400, "invalid_request", "input[1]"),
        ({"input": [[5], [100_000]]}, 400, "invalid_request", "input[1]"),
        ({"input": [261]}, 400, "invalid_request", "input"),
        ({"input": []}, 400, "invalid_request", "input"),
        ({"input": ["a", "b" * 101]}, 400, "context_length_exceeded", "input[1]"),
        ({"encoding_format": "bits"}, 400, "invalid_request", "encoding_format"),
        ({"model": "nothing"}, 404, "model_not_found", "model"),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(
    make_config: MakeConfig, fields: dict[str, Any], status: int, code: str, param: str
):
    async with asking(make_config(context_limit_tokens=100)) as (server, session):
        told, error = await refusal(session, **fields)
        assert (told, error["code"], error["param"]) == (status, code, param)
        assert server.node.health.live_requests == 0
        await post(session)


async def test_a_model_that_does_not_embed_says_why(
    make_config: MakeConfig, make_models: Callable[..., Path]
):
    root = make_models("odd")
    (root / "odd" / "modules.json").write_text("[]")
    async with asking(make_config(models_dirs=(root,))) as (_, session):
        status, error = await refusal(session, model="odd")
    assert (status, error["code"], error["param"]) == (400, "model_not_supported", "model")
    assert "modules.json" in error["message"]


async def test_a_call_takes_no_more_lanes_than_it_may(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=1))
    config = make_config(max_live_requests=5, vector_lanes=3)
    wishes = [wish(f"text {n}") for n in range(20)]
    async with asyncio.timeout(DEADLINE_S), serving_with(config, children.spawn) as server:
        call = asyncio.create_task(vectors(server, wishes))
        other = asyncio.create_task(vectors(server, wishes[:2]))
        while not children.wanted:  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0.001)
        assert server.node.health.live_requests == 5
        late = await vectors(server, wishes[:1])  # waits for room
        many, two = await call, await other
        assert server.node.health.live_requests == 0
    assert isinstance(many, list) and many[:2] == two and many[:1] == late
    assert len(many) == 20


async def test_vectors_that_wait_for_others_are_bounded_in_bytes(
    make_config: MakeConfig, memory_children: Children
):
    config = make_config(max_prepared_bytes=SIZE * 4 * 10)
    async with asyncio.timeout(DEADLINE_S), serving(config) as server:
        refused = await vectors(server, [wish("x")] * 30)
        assert isinstance(refused, CortexError) and refused.code() == "overloaded"
        again = await vectors(server, [wish("x")])
    assert isinstance(again, list) and len(again) == 1


async def test_leaving_stops_the_call_on_the_engine_too(make_config: MakeConfig):
    async with asking(make_config(fake_token_interval_ms=2_000)) as (server, session):
        body = json.dumps({"model": "fake", "input": ["a"] * 300}).encode()
        call = asyncio.create_task(session.post(PATH, data=body))
        while not queued(server):  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0.05)
        call.cancel()
        await asyncio.wait({call})
        while server.node.health.live_requests or queued(server):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("life", [0, 2, 3, 4, 5, 7])
async def test_a_call_survives_the_death_of_its_engine(
    make_config: MakeConfig, memory_children: Children, life: int
):
    wishes = [wish(f"text {n}") for n in range(12)]
    told: list[Any] = []
    for lives in ([], [life]):
        children = memory_children(lives, is_haunted=True)
        async with (
            asyncio.timeout(DEADLINE_S),
            serving_with(make_config(), children.spawn) as server,
        ):
            told.append(await vectors(server, wishes))
    assert told[0] == told[1]
    assert isinstance(told[0], list)


async def test_a_call_that_kills_engines_is_given_up(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children([3] * 9)  # dead before the first vector, each time
    async with asyncio.timeout(DEADLINE_S), serving_with(make_config(), children.spawn) as server:
        assert isinstance(await vectors(server, [wish("a")]), AttemptsExhausted)


def wish(text: str) -> ChatRequest:
    return ChatRequest("fake", (), seed=0, now_s=0, raw=RawText(text), vector=VectorWish())


async def vectors(server: Server, requests: list[ChatRequest]) -> list[Vector] | CortexError:
    try:
        async with server.member.ingress.vectors(requests) as vectors:
            return vectors
    except CortexError as error:
        return error


def queued(server: Server) -> int:
    """What the engine said last of how much it has in work."""
    alive = server.node.health.engines[0].last_alive
    return 0 if alive is None else alive.queued
