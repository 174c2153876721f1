"""Requests under way over HTTP: listed, ended by the operator, logged; and a drain."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from cortex.peer.config import REQUEST_LOG, PeerConfig
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.models.names import ModelNames
from cortex.peer.serving.server import Server
from tests.peer.in_memory import http, serving, until

MakeConfig = Callable[..., PeerConfig]
BODY: dict[str, Any] = {
    "model": "fake",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 8,
}
LONG = {"max_tokens": 10_000}
CHAT = "/v1/chat/completions"


async def read(session: aiohttp.ClientSession, path: str, method: str = "GET") -> Any:
    async with session.request(method, path) as response:
        return await response.json()


def decoding(server: Server) -> bool:
    return any(live.first_token_s is not None for live in server.node.live)


async def test_requests_are_listed_with_what_they_do(make_config: MakeConfig):
    names = ModelNames({"claude-fake": "fake"})
    config = make_config(fake_token_interval_ms=50, names=names)
    async with serving(config) as server, http(server) as session:
        assert await read(session, "/requests") == {"requests": []}
        body = BODY | LONG | {"model": "claude-fake", "stream": True}
        async with session.post(CHAT, json=body) as stream:
            await until(lambda: decoding(server))
            (listed,) = (await read(session, "/requests"))["requests"]
            assert listed["id"] == stream.headers["x-request-id"]
            assert (listed["model"], listed["key"]) == ("fake", "-")
            assert listed["stage"] == "decode"
            assert listed["prompt_tokens"] > 0
            assert listed["completion_tokens"] > 0
            assert 0 < listed["first_token_s"] <= listed["seconds"]
            assert (listed["start"], listed["queue_s"] >= 0) == ("cold", True)
            assert (listed["evicted"], listed["failovers"]) == ([], 0)
        await until(lambda: not list(server.node.live))
        assert await read(session, "/requests") == {"requests": []}


async def test_a_request_that_waits_for_its_answer_can_be_ended(make_config: MakeConfig):
    async with serving(make_config(fake_token_interval_ms=50)) as server, http(server) as session:
        asked = asyncio.create_task(session.post(CHAT, json=BODY | LONG))
        await until(lambda: decoding(server))
        (live,) = server.node.live
        told = await read(session, f"/requests/{live.id}", "DELETE")
        assert (told["id"], told["status"]) == (live.id, "cancelled")
        async with await asked as response:
            assert response.status == 400
            assert (await response.json())["error"]["code"] == "request_cancelled"
        await until(lambda: server.node.health.live_requests == 0)


@pytest.mark.parametrize(
    ("path", "body", "ending"),
    [
        (CHAT, BODY, 'data: {"error":{'),
        ("/v1/messages", BODY, "event: error\n"),
        ("/v1/responses", {"model": "fake", "input": "hello"}, "event: response.failed\n"),
    ],
)
async def test_a_stream_that_is_ended_ends_with_the_dialects_error(
    make_config: MakeConfig, path: str, body: dict[str, Any], ending: str
):
    async with serving(make_config(fake_token_interval_ms=50)) as server, http(server) as session:
        limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
        async with session.post(path, json=body | {limit: 10_000, "stream": True}) as stream:
            await until(lambda: decoding(server))
            await read(session, f"/requests/{stream.headers['x-request-id']}", "DELETE")
            text = await stream.text()
        assert ending in text
        assert "was ended by whoever runs this peer" in text
        await until(lambda: server.node.health.live_requests == 0)


async def test_a_request_that_is_not_there_cannot_be_ended(make_config: MakeConfig):
    async with (
        serving(make_config()) as server,
        http(server) as session,
        session.delete("/requests/req_none") as response,
    ):
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "request_not_found"


async def test_a_drained_peer_ends_what_it_has_and_takes_nothing_new(make_config: MakeConfig):
    async with serving(make_config(fake_token_interval_ms=20)) as server, http(server) as session:
        async with session.post(CHAT, json=BODY | {"stream": True}) as stream:
            await until(lambda: decoding(server))
            async with session.post("/drain") as response:
                assert response.status == 202
                told = await response.json()
                assert (told["status"], told["live_requests"]) == ("draining", 1)
            async with session.post(CHAT, json=BODY) as refused:
                assert refused.status == 503
                assert (await refused.json())["error"]["code"] == "overloaded"
            async with session.post("/v1/messages/count_tokens", json=BODY) as refused:
                assert refused.status == 529
            assert (await stream.text()).endswith("data: [DONE]\n\n")
        async with session.get("/healthz") as response:
            assert response.status == 503


async def test_an_alias_answers_under_its_own_name(make_config: MakeConfig):
    names = ModelNames({"claude-fake": "fake"}, default=None)
    async with serving(make_config(names=names)) as server, http(server) as session:
        listed = await read(session, "/v1/models")
        assert [model["id"] for model in listed["data"]] == ["fake", "claude-fake"]
        assert (await read(session, "/v1/models/claude-fake"))["id"] == "claude-fake"
        async with session.post(CHAT, json=BODY | {"model": "claude-fake"}) as response:
            assert (await response.json())["model"] == "claude-fake"
        async with session.post(CHAT, json=BODY | {"model": "nobody-knows"}) as response:
            assert response.status == 404


async def test_a_default_model_answers_for_unknown_names(make_config: MakeConfig):
    config = make_config(names=ModelNames(default="fake"))
    async with (
        serving(config) as server,
        http(server) as session,
        session.post(CHAT, json=BODY | {"model": "nobody-knows"}) as response,
    ):
        assert response.status == 200
        assert (await response.json())["model"] == "nobody-knows"


Lines = Callable[[], list[str]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO, logger=REQUEST_LOG)
    return lambda: [record.getMessage() for record in caplog.records if record.name == REQUEST_LOG]


async def test_a_request_is_one_line_of_ids_and_counts(make_config: MakeConfig, lines: Lines):
    key = ApiKey("ci", digest_of("ask"))
    async with serving(make_config(keys=(key,))) as server, http(server) as session:
        headers = {"x-api-key": "ask", "x-request-id": "mine-1"}
        async with session.post(CHAT, json=BODY, headers=headers) as response:
            usage = (await response.json())["usage"]
            request_id = response.headers["x-request-id"]
        await until(lambda: bool(lines()))
    (line,) = lines()
    assert re.fullmatch(
        rf"request id={request_id} client_id=mine-1 key=ci dialect=\w+ model=fake peer=atlas"
        rf" status=200 prompt_tokens={usage['prompt_tokens']} cached_tokens=0"
        rf" completion_tokens={usage['completion_tokens']}"
        r" start=cold evicted=- queue_s=\d+\.\d{3}"
        r" first_token_s=\d+\.\d{3} total_s=\d+\.\d{3} ending=length",
        line,
    )


async def test_no_word_of_a_client_is_logged(make_config: MakeConfig, lines: Lines):
    marker = "zebra crossing"
    async with serving(make_config()) as server, http(server) as session:
        changes: tuple[dict[str, Any], ...] = (
            {"model": marker},
            {"messages": [{"role": "user", "content": marker}]},
            {"messages": marker},
            {"user": marker, "stop": [marker]},
        )
        for change in changes:
            headers = {"x-request-id": marker, "x-client-request-id": marker, "x-api-key": marker}
            async with session.post(CHAT, json=BODY | change, headers=headers) as response:
                await response.read()
        await until(lambda: len(lines()) == 4)
    assert "zebra" not in " ".join(lines())
    endings = [line.rpartition("=")[2] for line in lines()]
    assert endings == ["model_not_found", "length", "invalid_request", "length"]
    assert " model=- peer=- status=404 " in lines()[0]


async def test_a_client_that_leaves_is_logged_as_gone(make_config: MakeConfig, lines: Lines):
    async with serving(make_config(fake_token_interval_ms=50)) as server, http(server) as session:
        async with session.post(CHAT, json=BODY | LONG | {"stream": True}) as stream:
            await until(lambda: decoding(server))
            stream.close()
        await until(lambda: bool(lines()))
    assert " status=499 " in lines()[0]
    assert lines()[0].endswith(" ending=left")


async def test_what_is_no_request_for_an_answer_is_not_logged(
    make_config: MakeConfig, lines: Lines
):
    async with serving(make_config()) as server, http(server) as session:
        await read(session, "/v1/models")
        await read(session, "/healthz")
        await read(session, "/requests")
    assert lines() == []
