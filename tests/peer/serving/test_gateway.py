"""A peer without an engine, and the port where numbers are told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cortex.engine.errors import ModelNotFound
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.children.process import ChildProcess
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.errors import PortInUse
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.node import Node
from cortex.peer.observing.live import LiveRequest
from cortex.peer.serving.server import Server, run_peer, serving

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 30


async def no_child(command: object) -> ChildProcess:
    raise AssertionError(f"a child was started: {command}")


async def test_a_gateway_starts_no_children_and_has_no_models(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(engine="none", models_dirs=(tmp_path,))
    async with asyncio.timeout(DEADLINE_S), Node(config, no_child) as node:
        node.wake()
        assert await node.models() == ()
        request = ChatRequest("cortex-nano", (Message("user", (TextPart("hi"),)),), seed=1, now_s=0)
        with pytest.raises(ModelNotFound):
            async for _ in node.chat(request):
                pass
        with pytest.raises(ModelNotFound):
            await node.count(request)
        assert (node.health.engines, node.health.text.state) == ((), "stopped")


async def test_a_gateway_looks_into_no_folder(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("not even JSON")
    async with Node(make_config(engine="none", models_dirs=(tmp_path,)), no_child) as node:
        assert await node.models() == ()


async def status_of(session: aiohttp.ClientSession, port: int, path: str) -> tuple[int, str]:
    async with session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_numbers_are_told_without_a_key_on_a_port_where_nothing_else_is(
    make_config: MakeConfig,
) -> None:
    config = make_config(
        engine="none",
        keys=(ApiKey("a", digest_of("secret")),),
        metrics_host="127.0.0.1",
        metrics_port=0,
    )
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession() as session,
    ):
        assert server.metrics_port is not None
        assert (await status_of(session, server.port, "/metrics"))[0] == 401
        status, numbers = await status_of(session, server.metrics_port, "/metrics")
        assert (status, 'cortex_live_requests{peer="atlas"} 0.0' in numbers) == (200, True)
        assert (await status_of(session, server.metrics_port, "/healthz"))[0] == 200
        for path in ("/", "/v1/models", "/docs", "/requests"):
            status, error = await status_of(session, server.metrics_port, path)
            assert (status, "not_found" in error) == (404, True)


async def test_a_gateway_tells_of_the_requests_that_it_passes_on(make_config: MakeConfig) -> None:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(make_config(engine="none")) as server,
        aiohttp.ClientSession() as session,
    ):
        with server.node.live.entered(LiveRequest("req_1", "openai", "-", 0.0)):
            _, numbers = await status_of(session, server.port, "/metrics")
            _, health = await status_of(session, server.port, "/healthz")
    assert 'cortex_live_requests{peer="atlas"} 1.0' in numbers
    assert json.loads(health)["live_requests"] == 1


async def test_who_can_answer_nothing_is_not_ready(
    make_config: MakeConfig, memory_children: Callable[..., Any]
) -> None:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(make_config(engine="none")) as gateway,
        aiohttp.ClientSession() as session,
    ):
        status, told = await status_of(session, gateway.port, "/readyz")
        assert (status, json.loads(told)) == (503, {"status": "no models"})
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(make_config(), memory_children().spawn) as peer,
        aiohttp.ClientSession() as session,
    ):
        changed = asyncio.Event()
        peer.member.fleet.watch(lambda _: changed.set())
        while not peer.member.fleet.view.me.stored:
            await changed.wait()
            changed.clear()
        status, told = await status_of(session, peer.port, "/readyz")
        assert (status, json.loads(told)) == (200, {"status": "ready"})
        peer.node.begin_drain()
        status, told = await status_of(session, peer.port, "/readyz")
        assert (status, json.loads(told)) == (503, {"status": "draining"})


async def test_the_first_signal_to_a_gateway_says_what_it_waits_for(
    make_config: MakeConfig,
) -> None:
    ready: asyncio.Queue[Server] = asyncio.Queue()
    notices: asyncio.Queue[str] = asyncio.Queue()
    running = run_peer(
        make_config(engine="none", drain_s=0.0),
        on_ready=ready.put_nowait,
        on_notice=notices.put_nowait,
        on_view=lambda _: None,
        on_happening=lambda _: None,
    )
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(running)
        server = await ready.get()
        with server.node.live.entered(LiveRequest("req_1", "openai", "-", 0.0)):
            os.kill(os.getpid(), signal.SIGTERM)
            assert "1 request finishes" in await notices.get()
            await ended


async def test_a_peer_has_no_port_for_numbers_unless_it_is_told_to(make_config: MakeConfig) -> None:
    async with serving(make_config(engine="none")) as server:
        assert server.metrics_port is None


async def test_a_busy_port_for_numbers_ends_the_start_before_it_begins(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    async with serving(make_config(engine="none")) as server:
        places = Locations(tmp_path / "data", tmp_path / "other", tmp_path / "run")
        config = make_config(locations=places, metrics_host="127.0.0.1", metrics_port=server.port)
        with pytest.raises(PortInUse) as caught:
            async with serving(config, no_child):
                pass
    assert "--metrics-port" in caught.value.hint
