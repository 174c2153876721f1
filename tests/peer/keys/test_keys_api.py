"""A peer with keys over HTTP: who may ask, who may steer, how much, and what pages may."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cortex.engine.stream import Finished
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.client.backends import Backend, open_backend
from cortex.peer.config import PeerConfig
from cortex.peer.errors import InvalidApiKey
from cortex.peer.keys.access import ApiKey, digest_of
from tests.peer.in_memory import http, serving, until

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 30
ASK, STEER = {"authorization": "Bearer ask"}, {"x-api-key": "steer"}
KEYS: dict[str, Any] = {
    "keys": (ApiKey("asker", digest_of("ask")),),
    "admin_keys": (ApiKey("boss", digest_of("steer"), is_admin=True),),
}
# What a proxy adds: the request is not one of this machine then.
AFAR = {"x-forwarded-for": "192.0.2.7"}
PAGE = "https://chat.example.com"
BODY = {"model": "fake", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


async def status(
    session: aiohttp.ClientSession,
    path: str,
    headers: dict[str, str] | None = None,
    method: str = "GET",
) -> int:
    async with session.request(method, path, headers=headers) as response:
        await response.read()
        return response.status


async def post(
    session: aiohttp.ClientSession, headers: dict[str, str], **changes: Any
) -> tuple[int, dict[str, Any], Any]:
    async with session.post(
        "/v1/chat/completions", json=BODY | changes, headers=headers
    ) as response:
        return response.status, await response.json(), response.headers


async def test_either_header_opens_and_nothing_else_does(make_config: MakeConfig):
    async with serving(make_config(**KEYS)) as server, http(server) as session:
        for headers in (ASK, STEER, {"x-api-key": "ask"}, {"x-api-key": "no", **ASK}):
            assert (await post(session, headers))[0] == 200
            assert await status(session, "/v1/models", headers) == 200
        for headers in ({}, {"x-api-key": "no"}, {"authorization": "Basic ask"}):
            code, told, _ = await post(session, headers)
            assert code == 401
            assert told["error"]["type"] == "authentication_error"
            assert told["error"]["code"] == "invalid_api_key"
            assert await status(session, "/v1/models", headers) == 401
            assert await status(session, "/metrics", headers) == 401


async def test_what_probes_ask_needs_no_key(make_config: MakeConfig):
    async with serving(make_config(**KEYS)) as server, http(server) as session:
        assert await status(session, "/", {}) == 200
        assert await status(session, "/", {}, "HEAD") == 200
        assert await status(session, "/healthz", {}) == 200


async def test_without_keys_anything_is_let_in(make_config: MakeConfig):
    async with serving(make_config()) as server, http(server) as session:
        for headers in ({}, ASK, {"x-api-key": "anything"}):
            assert (await post(session, headers))[0] == 200


async def test_steering_from_afar_takes_an_admin_key(make_config: MakeConfig):
    async with serving(make_config(**KEYS)) as server, http(server) as session:
        steered = (("GET", "/requests"), ("DELETE", "/requests/x"), ("POST", "/drain"))
        for method, path in (*steered, ("POST", "/models/pull")):
            assert await status(session, path, AFAR, method) == 401
            assert await status(session, path, AFAR | ASK, method) == 403
        assert await status(session, "/requests", AFAR | STEER) == 200
        assert await status(session, "/requests", {}) == 200
        assert (await post(session, ASK))[0] == 200, "a refused drain drains nothing"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("ip", ["127.0.0.1", "[::1]"])
async def test_who_is_here_steers_a_peer_on_all_addresses(make_config: MakeConfig, ip: str):
    async with serving(replace(make_config(**KEYS), host="::")) as server:
        port = server.address.rpartition(":")[2]
        async with aiohttp.ClientSession(f"http://{ip}:{port}") as session:
            assert await status(session, "/requests") == 200


async def test_a_page_in_a_browser_here_cannot_steer(make_config: MakeConfig):
    """Its origin gives it away; where its name was made to mean us, the host does."""
    async with serving(make_config()) as server, http(server) as session:
        assert await status(session, "/requests", {"origin": PAGE}) == 401
        assert await status(session, "/drain", {"origin": PAGE}, "POST") == 401
        assert await status(session, "/requests", {"sec-fetch-site": "cross-site"}) == 401
        assert await status(session, "/requests", {"host": "evil.example.com"}) == 401
        assert await status(session, "/requests", {"host": "localhost:1"}) == 200


async def test_a_local_command_finds_its_key_in_the_note(make_config: MakeConfig):
    config = make_config(**KEYS)
    async with serving(config), asyncio.timeout(DEADLINE_S):
        (note,) = config.locations.announcements_dir.glob("*.json")
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
        async with open_backend(config, None, on_notice=print, on_passed_over=print) as backend:
            assert backend.name != "private"
            assert [model.id for model in await backend.models()] == ["fake"]
            assert isinstance(await answer(backend), Finished)


async def test_the_key_of_a_note_locks_nobody_out(make_config: MakeConfig):
    """It is there all the same: keys may be set while the peer runs."""
    config = make_config()
    async with serving(config) as server, http(server) as session:
        (note,) = config.locations.announcements_dir.glob("*.json")
        assert await status(session, "/v1/models") == 200
        await server.reconfigure(replace(config, keys=(ApiKey("ci", digest_of("ci-key")),)))
        assert await status(session, "/v1/models") == 401
        own = {"x-api-key": json.loads(note.read_text())["key"]}
        assert await status(session, "/v1/models", own) == 200
        assert await status(session, "/v1/models", {"x-api-key": "ci-key"}) == 200


@pytest.mark.parametrize("path", ["/logs?follow=1", "/fleet/events"])
async def test_a_key_that_is_taken_away_takes_its_streams_with_it(
    make_config: MakeConfig, path: str
):
    config = make_config(**KEYS)
    async with serving(config) as server, http(server) as session:
        (note,) = config.locations.announcements_dir.glob("*.json")
        other = {"x-api-key": json.loads(note.read_text())["key"]}
        async with (
            session.get(path, headers=AFAR | STEER) as taken,
            session.get(path, headers=AFAR | other) as kept,
        ):
            for stream in (taken, kept):
                assert stream.status == 200
                await stream.content.readline()
            await server.reconfigure(replace(config, admin_keys=()))
            await taken.content.read()
            for _ in range(5):
                assert await kept.content.readline(), "other keys keep theirs"


async def test_who_watches_without_a_key_is_sent_away_once_there_are_keys(make_config: MakeConfig):
    config = make_config()
    async with (
        serving(config) as server,
        http(server) as session,
        session.get("/fleet/events") as stream,
    ):
        await stream.content.readline()
        await server.reconfigure(replace(config, max_concurrent=3))
        for _ in range(5):
            assert await stream.content.readline(), "other settings send nobody away"
        await server.reconfigure(replace(config, keys=KEYS["keys"]))
        await stream.content.read()


async def test_where_others_may_ask_too_a_key_is_not_needed(make_config: MakeConfig):
    async with serving(make_config(**KEYS, lets_anonymous_in=True)) as server, http(server) as on:
        assert await status(on, "/v1/models") == 200
        assert await status(on, "/requests", {"origin": PAGE}) == 401


async def test_a_named_peer_is_asked_with_the_key_that_was_given(
    make_config: MakeConfig, tmp_path: Path
):
    """Of another machine there is no note."""
    elsewhere = make_config(**KEYS)
    here = make_config(locations=type(elsewhere.locations)(tmp_path / "d", tmp_path / "s"))
    async with serving(elsewhere) as server, asyncio.timeout(DEADLINE_S):
        async with open_backend(
            here, server.address, on_notice=print, on_passed_over=print, api_key="ask"
        ) as backend:
            assert isinstance(await answer(backend), Finished)
        async with open_backend(
            here, server.address, on_notice=print, on_passed_over=print
        ) as backend:
            with pytest.raises(InvalidApiKey):
                await backend.models()
            with pytest.raises(InvalidApiKey):
                await answer(backend)


async def answer(backend: Backend) -> object:
    """The last event of a short answer."""
    request = ChatRequest("fake", (Message("user", (TextPart("hello"),)),), 1, 0, max_tokens=2)
    return [event async for event in backend.chat(request)][-1]


async def test_a_key_over_its_tokens_waits_as_long_as_it_is_told(make_config: MakeConfig):
    wealthy = ApiKey("wealthy", digest_of("other"), tokens_per_minute=10**6)
    config = make_config(keys=(*KEYS["keys"], wealthy), tokens_per_minute=3)
    async with serving(config) as server, http(server) as session:
        assert (await post(session, ASK))[0] == 200
        code, told, headers = await post(session, ASK)
        assert code == 429
        assert told["error"]["type"] == "rate_limit_error"
        assert told["error"]["code"] == "rate_limit_exceeded"
        assert headers["retry-after"] == "60"
        assert (await post(session, {"x-api-key": "other"}))[0] == 200


async def test_an_answer_costs_its_key_what_it_read_and_wrote(make_config: MakeConfig):
    config = make_config(**KEYS, tokens_per_minute=6)
    clock = asyncio.get_running_loop().time
    async with serving(config) as server, http(server) as session:
        began_s = clock()
        _, told, _ = await post(session, ASK, ignore_eos=True, max_tokens=50)
        num_spent = told["usage"]["total_tokens"]
        assert num_spent > 50
        _, told, _ = await post(session, ASK)
        took_s = clock() - began_s
    said = re.search(r"ask again in (\d+) s", told["error"]["message"])
    assert said is not None, told
    # Ten seconds a token, from the six that there were to the one that a request takes.
    owed_s = (num_spent - 6 + 1) * 10
    assert owed_s - took_s <= int(said[1]) <= owed_s


async def test_who_leaves_before_the_end_pays_for_what_was_made(make_config: MakeConfig):
    config = make_config(**KEYS, tokens_per_minute=3, fake_token_interval_ms=50)
    async with serving(config) as server, http(server) as session:
        body = BODY | {"stream": True, "max_tokens": 10_000, "ignore_eos": True}
        async with session.post("/v1/chat/completions", json=body, headers=ASK) as stream:
            for _ in range(2):  # the first one has no text
                await stream.content.readuntil(b'"content":')
        await until(lambda: not list(server.node.live))
        code, told, _ = await post(session, ASK)
        assert code == 429
        assert told["error"]["code"] == "rate_limit_exceeded"


async def test_a_count_of_tokens_is_not_limited(make_config: MakeConfig):
    config = make_config(**KEYS, tokens_per_minute=3)
    async with serving(config) as server, http(server) as session:
        assert (await post(session, ASK))[0] == 200
        body = {"model": "fake", "messages": BODY["messages"]}
        async with session.post("/v1/messages/count_tokens", json=body, headers=ASK) as response:
            assert response.status == 200
        async with session.post(
            "/v1/messages", json=body | {"max_tokens": 2}, headers=ASK
        ) as response:
            assert response.status == 429
            assert (await response.json())["error"]["type"] == "rate_limit_error"
            assert response.headers["retry-after"] == "60"


async def test_a_key_has_so_many_requests_at_one_time(make_config: MakeConfig):
    config = make_config(**KEYS, max_concurrent=1, fake_token_interval_ms=50)
    async with serving(config) as server, http(server) as session:
        body = BODY | {"stream": True, "max_tokens": 10_000}
        async with session.post("/v1/chat/completions", json=body, headers=ASK) as stream:
            await stream.content.readline()
            code, told, headers = await post(session, ASK)
            assert (code, told["error"]["code"]) == (429, "rate_limit_exceeded")
            assert 1 <= int(headers["retry-after"]) <= 60
            assert (await post(session, STEER))[0] == 200, "each key has places of its own"
        await until(lambda: not list(server.node.live))
        assert (await post(session, ASK))[0] == 200


async def test_pages_of_configured_origins_may_ask(make_config: MakeConfig):
    config = make_config(**KEYS, cors_origins=(PAGE,))
    asks = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-stainless-os",
    }
    async with serving(config) as server, http(server) as session:
        async with session.options("/v1/chat/completions", headers=asks) as response:
            assert response.status == 204
            assert response.headers["access-control-allow-origin"] == PAGE
            assert "POST" in response.headers["access-control-allow-methods"]
            allowed = response.headers["access-control-allow-headers"]
            assert allowed == "authorization, x-stainless-os"
        _, _, headers = await post(session, ASK | {"origin": PAGE})
        assert headers["access-control-allow-origin"] == PAGE
        code, _, headers = await post(session, {"origin": PAGE})
        assert (code, headers["access-control-allow-origin"]) == (401, PAGE), "errors too"
        _, _, headers = await post(session, ASK | {"origin": "https://other.example.com"})
        assert "access-control-allow-origin" not in headers
        _, _, headers = await post(session, ASK)
        assert "access-control-allow-origin" not in headers


async def test_without_configured_origins_no_page_may(make_config: MakeConfig):
    asks = {"origin": PAGE, "access-control-request-method": "POST"}
    async with (
        serving(make_config()) as server,
        http(server) as session,
        session.options("/v1/chat/completions", headers=asks) as response,
    ):
        assert response.status == 403
        assert "access-control-allow-origin" not in response.headers


async def test_a_star_lets_every_page_ask(make_config: MakeConfig):
    async with serving(make_config(cors_origins=("*",))) as server, http(server) as session:
        _, _, headers = await post(session, {"origin": "https://anything.example.com"})
        assert headers["access-control-allow-origin"] == "*"
