"""What a client of a fleet reads in its reply's headers, and its owner in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from cortex.engine.stream import Began, Event, Stage, Vector
from cortex.peer.api import streaming
from cortex.peer.api.app import make_app
from cortex.peer.api.metrics import REPLIES
from cortex.peer.config import REQUEST_LOG
from cortex.peer.routing import asked as asked_module
from tests.peer.in_memory import node_of_none

_BODY: dict[str, Any] = {
    "model": "fake",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 4,
}


@asynccontextmanager
async def client_of(fleet: Any) -> AsyncGenerator[TestClient[Any, Any]]:
    """Nobody is ordered anything."""
    member: Any = SimpleNamespace(
        fleet=fleet.membership,
        ingress=fleet.ingress,
        control=None,
        node_of=node_of_none,
        routes=list,
    )
    async with TestClient(TestServer(make_app(fleet.local, member))) as client:
        yield client


async def headers_of(client: Any, path: str = "/v1/chat/completions", **changes: Any) -> Any:
    async with client.post(path, json=_BODY | changes) as response:
        await response.read()
        assert response.status == 200
        return response.headers


async def test_a_whole_reply_says_who_made_it_and_what_it_waited_for(open_fleet: Any):
    async with open_fleet(2) as fleet, client_of(fleet) as client:
        headers = await headers_of(client)
        assert (headers["x-cortex-peer"], headers["x-cortex-start"]) == ("peer1", "cold")
        headers = await headers_of(client)
        assert (headers["x-cortex-peer"], headers["x-cortex-start"]) == ("peer1", "warm")
        assert "x-cortex-evicted" not in headers
        assert headers["x-cortex-cached-tokens"] == "0"
        assert int(headers["x-cortex-queue-ms"]) >= 0


async def test_a_stream_says_what_is_known_when_it_begins(open_fleet: Any):
    async with open_fleet(2) as fleet, client_of(fleet) as client:
        fleet.membership.change(1, placed=())
        headers = await headers_of(client, stream=True)
        assert (headers["x-cortex-peer"], headers["x-cortex-start"]) == ("peer1", "cold")
        assert "x-cortex-cached-tokens" not in headers
        # The fleet has not heard of it yet, but the host knows better.
        headers = await headers_of(client, stream=True)
        assert (headers["x-cortex-peer"], headers["x-cortex-start"]) == ("peer1", "warm")


async def test_a_streams_head_does_not_wait_for_the_line_in_the_engine(
    open_fleet: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streaming, "_HEAD_S", 60.0)
    async with open_fleet(2) as fleet, client_of(fleet) as client:
        await headers_of(client)  # so that the model is there
        is_read, ask = asyncio.Event(), fleet.hops.ask

        async def ask_a_busy_one(*args: Any) -> AsyncGenerator[Event | Vector]:
            async with aclosing(ask(*args)) as events:
                async for event in events:
                    yield event
                    if isinstance(event, Began):
                        yield Stage("queued", 2, 3)
                        await is_read.wait()

        fleet.hops.ask = ask_a_busy_one
        body = _BODY | {"stream": True}
        async with asyncio.timeout(30), client.post("/v1/chat/completions", json=body) as response:
            assert response.headers["x-cortex-start"] == "warm"
            assert "x-cortex-queue-ms" not in response.headers, "nobody knows it yet"
            is_read.set()
            assert b"[DONE]" in await response.read()


async def test_a_stream_of_a_peer_alone_says_whether_the_model_was_there(open_fleet: Any):
    async with open_fleet(1, is_gateway=False) as fleet, client_of(fleet) as client:
        assert (await headers_of(client, stream=True))["x-cortex-start"] == "cold"
        assert (await headers_of(client, stream=True))["x-cortex-start"] == "warm"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/chat/completions", {}, '"code":"overloaded"'),
        ("/v1/messages", {}, '"type":"overloaded_error"'),
        ("/v1/responses", {"input": "hello", "max_output_tokens": 16}, "response.failed"),
    ],
)
async def test_a_stream_that_nobody_takes_is_never_silent_and_ends_with_an_error(
    open_fleet: Any, path: str, body: dict[str, Any], code: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asked_module, "_PATIENCE_S", 2.0)
    asked = {"model": "fake", "stream": True} | (body or {**_BODY, "stream": True})
    clock = asyncio.get_running_loop().time
    async with open_fleet(2) as fleet, client_of(fleet) as client:
        fleet.hops.full = set(fleet.hops.nodes)
        said_s, told = clock(), ""
        async with client.post(path, json=asked) as response:
            assert response.status == 200 and "x-cortex-peer" not in response.headers
            async for chunk in response.content.iter_any():
                assert clock() - said_s < 1
                said_s, told = clock(), told + chunk.decode()
        assert told.startswith(': cortex {"stage":"queued"}')
        assert told.count(": keep-alive") >= 1 and code in told
        assert client.app is not None
        replies = client.app[REPLIES]
        [(dialect, status)] = replies.statuses
        assert (status, replies.errors) == (200, {(dialect, "overloaded", 503): 1})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/messages", {}),
        ("/v1/responses", {"input": "hello", "max_output_tokens": 16}),
    ],
)
async def test_a_stream_that_began_before_its_host_was_known_names_it(
    open_fleet: Any, path: str, body: dict[str, Any]
):
    asked = {"model": "fake", "stream": True} | (body or {**_BODY, "stream": True})
    async with open_fleet(2) as fleet, client_of(fleet) as client:
        fleet.hops.full = set(fleet.hops.nodes)
        told = ""
        async with client.post(path, json=asked) as response:
            assert "x-cortex-peer" not in response.headers
            fleet.hops.full = set()
            async for chunk in response.content.iter_any():
                told += chunk.decode()
        assert told.count(': cortex {"peer":"peer1"}\n\n') == 1


async def test_vectors_say_who_made_them(open_fleet: Any):
    async with open_fleet(2) as fleet, client_of(fleet) as client:
        headers = await headers_of(client, "/v1/embeddings", input="a", dimensions=4)
        assert headers["x-cortex-peer"] == "peer1"


async def test_no_name_of_a_peer_breaks_a_header_or_a_line(
    open_fleet: Any, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, REQUEST_LOG)
    async with open_fleet(2) as fleet, client_of(fleet) as client:
        fleet.membership.change(1, name="Köln\r\nx-evil: 1")
        headers = await headers_of(client)
        assert headers["x-cortex-peer"] == "K?ln??x-evil: 1"
    (line,) = (record.getMessage() for record in caplog.records if record.name == REQUEST_LOG)
    assert " peer=Köln__x-evil__1 status=200 " in line


async def test_the_models_of_all_peers_are_listed_with_where_they_are(open_fleet: Any):
    async with open_fleet(3) as fleet, client_of(fleet) as client:
        fleet.membership.change(2, placed=())
        async with client.get("/v1/models") as response:
            (model,) = (await response.json())["data"]
        assert (model["id"], model["size_bytes"], model["weights"]) == (
            "fake",
            1000,
            b"weights1".hex(),
        )
        assert model["where"] == [
            {"peer": "peer1", "state": "warm", "eta_s": None, "pinned": False},
            {"peer": "peer2", "state": "cold", "eta_s": None, "pinned": False},
        ]
