"""A peer over HTTP that is slow, or falls silent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from cortex.engine.errors import CortexError, EngineFailed, InternalError, InvalidRequest
from cortex.engine.stream import Event, Finished, Piece, TextDelta, Usage
from cortex.engine.types import Capability, ChatRequest, Message, TextPart
from cortex.peer.api.streaming import HEADERS
from cortex.peer.client.remote import Patience, RemotePeer
from cortex.peer.client.steadfast import Steadfast
from cortex.peer.dialects.chat.reply import ChatTeller
from cortex.peer.dialects.openai_replies import ReplyHead
from cortex.peer.errors import ModelAway
from cortex.peer.onlooker.asking import Door

DEADLINE_S = 30
HEAD = ReplyHead("id", 0, "m", include_usage=True)
SAID = Piece((TextDelta("hi"),))
QUESTION = ChatRequest("m", (Message("user", (TextPart("hello"),)),), seed=1, now_s=0)


@asynccontextmanager
async def peer_that(
    answers: Callable[[web.Request], Awaitable[web.StreamResponse]], patience: Patience
) -> AsyncGenerator[RemotePeer]:
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", answers), web.get("/v1/models", answers)])
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as session:
            yield RemotePeer(session, f"{host}:{port}", patience)
    finally:
        await runner.cleanup()


async def collect(peer: RemotePeer) -> list[Event]:
    async with aclosing(peer.chat(QUESTION)) as events:
        return [event async for event in events]


@pytest.mark.parametrize(
    ("told", "capabilities"),
    [
        ({"capabilities": ["text", "vision", "of later peers"]}, ("text", "vision")),
        ({"capabilities": ["embedding"]}, ("embedding",)),
        ({"capabilities": []}, ()),  # of an older peer, which does not know the word
        ({}, ("text",)),
    ],
)
async def test_models_are_listed_with_what_they_can_be_asked_for(
    told: dict[str, list[str]], capabilities: tuple[Capability, ...]
):
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m", **told}]})

    async with peer_that(answer, Patience()) as peer:
        [model] = await peer.models()

    assert model.capabilities == capabilities


async def test_peer_may_take_longer_for_the_prompt_than_its_stream_may_rest():
    async def answer_late(request: web.Request) -> web.StreamResponse:
        late = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, late.set)
        await late.wait()
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        teller = ChatTeller(HEAD, 1, tells_tokens=False)
        await response.write(teller.tell(SAID) + teller.tell(Finished("stop", Usage(1, 1))))
        await response.write(teller.close())
        return response

    async with peer_that(answer_late, Patience(in_stream_s=0.2)) as peer:
        assert await collect(peer) == [Piece((TextDelta("hi"),)), Finished("stop", Usage(1, 1))]


async def test_peer_that_falls_silent_in_its_stream_has_gone():
    async def fall_silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        await response.write(ChatTeller(HEAD, 1, tells_tokens=False).tell(SAID))
        await asyncio.Event().wait()
        return response

    async with peer_that(fall_silent, Patience(in_stream_s=0.1)) as peer:
        with pytest.raises(EngineFailed, match="broke off"):
            await collect(peer)


def tell(text: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    return answer


@pytest.mark.parametrize(("status", "kind"), [(422, InvalidRequest), (507, InternalError)])
async def test_refusal_that_only_a_newer_peer_knows_is_told_as_whose_fault_it_says(
    status: int, kind: type[CortexError]
):
    async def refuse(_: web.Request) -> web.Response:
        error = {"error": {"code": "of_next_year", "message": "not so"}}
        return web.json_response(error, status=status)

    async with peer_that(refuse, Patience(in_stream_s=5)) as peer:
        with pytest.raises(kind, match="not so"):
            await collect(peer)


async def test_no_name_of_a_model_or_a_peer_moves_the_cursor():
    model = {"id": "m\x1b[1m\n", "where": [{"peer": "a\x1b[2Jb", "state": "warm"}]}
    body = json.dumps({"data": [model]})
    async with peer_that(tell(body), Patience()) as peer:
        [read] = await peer.models()
    assert (read.id, read.where[0].peer) == ("m[1m", "a[2Jb")


@pytest.mark.parametrize(
    "body", ['{"data": [{"id": "m", "context_length": 1e999}]}', "[" * 200_000, '{"data": [7]}']
)
async def test_what_no_peer_tells_of_its_models_is_no_answer(body: str):
    async with peer_that(tell(body), Patience()) as peer:
        with pytest.raises(EngineFailed, match="broke off"):
            await peer.models()


async def test_a_peer_that_finds_no_host_is_not_taken_for_gone():
    told = {"code": "no_peer", "message": "no peer that holds 'm' can be asked now; try again"}

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": told | {"hint": "try again"}}, status=502)

    async with peer_that(refuse, Patience()) as peer:
        moves: list[str] = []

        async def doors() -> list[Door]:
            return [Door(peer.name)]

        steadfast = Steadfast(doors, lambda _: peer, moves.append)
        with pytest.raises(ModelAway, match=r"can be asked now$") as caught:
            await anext(steadfast.chat(QUESTION))
    assert (caught.value.hint, moves) == ("try again", [])
