"""GET /metrics beside real requests: what was asked, what came of it, what the engine said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientPayloadError, ClientSession
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cortex.engine.fake import FakeConfig
from cortex.peer.api import metrics
from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import serving

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
Client = ClientSession
Found = dict[tuple[str, ...], float]
DEADLINE_S = 30
TOKENS = 12


@asynccontextmanager
async def peer(config: PeerConfig, children: Children) -> AsyncGenerator[Client]:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config, children.spawn) as server,
        ClientSession(f"http://{server.address}") as client,
    ):
        yield client


async def ask(client: Client, path: str = "/v1/chat/completions", **fields: Any) -> int:
    body: dict[str, Any] = {"model": "fake", "max_tokens": TOKENS, "ignore_eos": True}
    if path.endswith("chat/completions"):
        body["messages"] = [{"role": "user", "content": "hello"}]
    async with client.post(path, json=body | fields) as reply:
        await reply.read()
        return reply.status


async def scrape(client: Client) -> Found:
    """Each sample by its name and its labels' values, in their names' order, but the peer's."""
    async with client.get("/metrics") as reply:
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await reply.text()
    return {
        (sample.name, *(v for label, v in sorted(sample.labels.items()) if label != "peer")): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def until(client: Client, condition: Callable[[Found], bool]) -> Found:
    """Scrape until the peer, or the engine's next heartbeat, says what is waited for."""
    while not condition(found := await scrape(client)):  # noqa: ASYNC110 - it tells no event
        await asyncio.sleep(0.01)
    return found


async def test_requests_their_tokens_and_their_times_are_counted(
    make_config: MakeConfig, memory_children: Children
):
    async with peer(make_config(), memory_children()) as client:
        assert await ask(client) == 200
        assert await ask(client, stream=True) == 200
        assert await ask(client, "/v1/completions", prompt=["a", "b"], n=2) == 200
        found = await scrape(client)
    assert found["cortex_requests_total", "openai", "200"] == 3
    # Two chats, and two choices of two prompts each.
    assert found["cortex_requests_finished_total", "fake", "length"] == 6
    assert found["cortex_completion_tokens_total", "fake"] == 6 * TOKENS
    assert found["cortex_inter_token_seconds_count", "fake"] == 6 * (TOKENS - 1)
    assert found["cortex_time_to_first_token_seconds_count", "fake"] == 4
    assert found["cortex_request_seconds_count", "fake"] == 4
    assert found["cortex_load_seconds_count", "fake"] == 1
    assert found["cortex_prompt_tokens_total", "fake"] > 0
    assert found["cortex_live_requests",] == 0
    # The call with two prompts is one request to its client.
    assert found["cortex_client_time_to_first_token_seconds_count", "fake"] == 3
    assert found["cortex_client_request_seconds_count", "fake"] == 3


async def test_answers_go_on_while_numbers_are_spelt(
    make_config: MakeConfig, memory_children: Children, monkeypatch: pytest.MonkeyPatch
):
    has_answered = threading.Event()

    def slowly(numbers: Any) -> bytes:
        assert has_answered.wait(DEADLINE_S)
        return generate_latest(numbers)

    monkeypatch.setattr(metrics, "generate_latest", slowly)
    async with peer(make_config(), memory_children()) as client:
        scraping = asyncio.create_task(scrape(client))
        assert await ask(client) == 200
        has_answered.set()
        assert ("cortex_live_requests",) in await scraping


async def test_vectors_end_well_and_have_a_prompt_and_no_tokens(
    make_config: MakeConfig, memory_children: Children
):
    async with peer(make_config(), memory_children()) as client:
        assert await ask(client, "/v1/embeddings", input=["a", "b", "c"]) == 200
        found = await scrape(client)
    assert found["cortex_requests_total", "openai", "200"] == 1
    assert found["cortex_requests_finished_total", "fake", "stop"] == 3
    assert found["cortex_request_seconds_count", "fake"] == 3
    assert found["cortex_prompt_tokens_total", "fake"] > 0
    assert found["cortex_completion_tokens_total", "fake"] == 0
    assert found["cortex_time_to_first_token_seconds_count", "fake"] == 0


async def test_refusals_are_counted_and_what_clients_write_is_no_label(
    make_config: MakeConfig, memory_children: Children
):
    async with peer(make_config(context_limit_tokens=64), memory_children()) as client:
        assert await ask(client, model="no such model") == 404
        assert await ask(client, max_tokens=-2) == 400
        assert await ask(client, "/v1/completions", prompt="long " * 500) == 400
        assert await ask(client, "/v1/no/such/route") == 404
        assert (await client.get("/no/such/route")).status == 404
        found = await scrape(client)
    assert found["cortex_requests_total", "openai", "404"] == 1
    assert found["cortex_requests_total", "openai", "400"] == 2
    assert found["cortex_requests_finished_total", "fake", "refused"] == 1
    assert not any("such" in value for key in found for value in key)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_is_counted_as_that(
    make_config: MakeConfig, memory_children: Children, stream: bool
):
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    async with peer(make_config(), children) as client:
        asking = asyncio.create_task(ask(client, stream=stream, max_tokens=1000))
        made = ("cortex_completion_tokens_total", "fake")
        found = await until(client, lambda found: found.get(made, 0) > 0)
        assert found["cortex_live_requests",] == 1
        asking.cancel()
        with pytest.raises((asyncio.CancelledError, ClientConnectionError, ClientPayloadError)):
            await asking
        left = ("cortex_requests_total", "openai", "499")
        found = await until(client, lambda found: left in found)
    assert found[left] == 1
    assert found["cortex_requests_finished_total", "fake", "cancelled"] == 1
    assert found["cortex_live_requests",] == 0


async def test_an_engine_that_died_shows_as_a_restart_and_in_no_token(
    make_config: MakeConfig, memory_children: Children
):
    async with peer(make_config(), memory_children([9])) as client:
        assert await ask(client) == 200
        found = await scrape(client)
    assert found["cortex_restarts_total", "cpu", "engine"] == 1
    assert found["cortex_restarts_total", "", "text"] == 0
    assert found["cortex_failovers_total", "engine_failed", "engine_restart", "fake"] == 1
    assert found["cortex_load_seconds_count", "fake"] == 2
    assert found["cortex_completion_tokens_total", "fake"] == TOKENS
    assert found["cortex_requests_finished_total", "fake", "length"] == 1


async def test_a_model_that_does_not_load_is_counted(
    make_config: MakeConfig, memory_children: Children
):
    async with peer(make_config(max_replays=0), memory_children([1, 1])) as client:
        assert await ask(client) == 502
        found = await scrape(client)
    assert found["cortex_load_failures_total", "fake"] == 1
    assert found["cortex_requests_finished_total", "fake", "failed"] == 1


async def test_an_engine_that_never_starts_shows_before_anything_could_be_loaded(
    make_config: MakeConfig, tmp_path: Path
):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(make_config(fake_script=broken)) as server,
        ClientSession(f"http://{server.address}") as client,
    ):
        assert await ask(client) == 502
        found = await scrape(client)
    assert found["cortex_process_failing", "cpu", "engine"] == 1
    assert found["cortex_process_failing", "", "text"] == 0
    assert found["cortex_load_failures_total", "fake"] == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_is_counted_once_whether_or_not_its_reply_had_begun(
    make_config: MakeConfig, memory_children: Children, stream: bool
):
    # Its engines load the model, begin the answer and end.
    async with peer(make_config(max_replays=0), memory_children([9, 9, 9])) as client:
        assert await ask(client, stream=stream) == (200 if stream else 502)
        found = await scrape(client)
    assert found["cortex_requests_total", "openai", "200" if stream else "502"] == 1
    errors = {key[1:]: n for key, n in found.items() if key[0] == "cortex_request_errors_total"}
    assert errors == {("attempts_exhausted", "openai", "502"): 1}
    assert "cortex_client_request_seconds_count" not in {name for name, *_ in found}


async def test_what_the_engine_says_of_itself_is_told_within_a_heartbeat(
    make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    async with peer(make_config(), children) as client:
        asking = asyncio.create_task(ask(client, n=2, max_tokens=1000))
        running = ("cortex_running_requests", "cpu", "fake")
        found = await until(client, lambda found: found.get(running) == 2)
        assert found["cortex_process_up", "cpu", "engine"] == 1
        steps = ("cortex_step_seconds_count", "cpu", "fake")
        assert found[steps] > 0
        asking.cancel()
        await asyncio.wait({asking})
        assert (await until(client, lambda found: found.get(running) == 0))[steps] > 0
