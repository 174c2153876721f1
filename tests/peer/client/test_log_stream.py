"""A peer's log over HTTP, line by line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cortex.engine.errors import CortexError
from cortex.peer.client.log_stream import following
from cortex.peer.errors import NoPeer, PeerNotFound
from cortex.peer.onlooker.asking import Door
from cortex.peer.onlooker.log_lines import LogLine, Skipped

LINE = b'event: line\ndata: {"time":7.5,"level":"info","source":"s","text":"a\\u001bb"}\n\n'


@asynccontextmanager
async def peer_that_says(
    status: int, body: bytes
) -> AsyncGenerator[tuple[Door, list[web.Request]]]:
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(status=status, body=body)

    app = web.Application()
    app.router.add_get("/logs", answer)
    async with TestServer(app) as server:
        yield Door(f"{server.host}:{server.port}", "key"), asked


async def collect(door: Door) -> list[LogLine | Skipped]:
    async with following(door, "bo rea", 11.0) as lines:
        return [line async for line in lines]


async def test_lines_and_what_was_skipped_come_in_turn_and_the_rest_is_passed_over() -> None:
    body = LINE + b': alive\n\nevent: new\ndata: {}\n\nevent: skipped\ndata: {"count":12}\n\n'
    async with peer_that_says(200, body) as (door, asked):
        assert await collect(door) == [LogLine(7.5, "info", "s", "ab"), Skipped(12)]
    assert dict(asked[0].query) == {
        "peer": "bo rea",
        "since_s": "11.000",
        "level": "debug",
        "follow": "1",
    }
    assert asked[0].headers["authorization"] == "Bearer key"


async def test_a_refusal_is_the_error_that_it_was() -> None:
    body = b'{"error":{"code":"peer_not_found","message":"no peer is called bo rea"}}'
    async with peer_that_says(404, body) as (door, _):
        with pytest.raises(PeerNotFound, match="bo rea"):
            await collect(door)


async def test_an_error_in_the_stream_is_raised() -> None:
    body = LINE + b'event: error\ndata: {"error":{"code":"host_lost","message":"gone"}}\n\n'
    async with peer_that_says(200, body) as (door, _):
        with pytest.raises(CortexError, match="gone"):
            await collect(door)


@pytest.mark.parametrize(
    "body", [b"event: line\ndata: {\n\n", b'event: line\ndata: {"time":1}\n\n']
)
async def test_what_is_no_log_is_no_peer(body: bytes) -> None:
    async with peer_that_says(200, body) as (door, _):
        with pytest.raises(NoPeer, match="bo rea"):
            await collect(door)


async def test_nobody_there_is_no_peer() -> None:
    with pytest.raises(NoPeer):
        await collect(Door("127.0.0.1:1"))
