"""A whole peer over HTTP, with real children."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from cortex.engine.errors import InvalidImage, ModelNotFound
from cortex.engine.stream import Accepted, Delta, Event, Finished, Piece, Stage, TextDelta
from cortex.engine.types import ChatRequest, ImagePart, Message, TextPart
from cortex.peer.client.backends import Backend, open_backend
from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import serving
from tests.peer.in_memory import http, until

MakeConfig = Callable[..., PeerConfig]
QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
# An answer that does not end of itself while a test lasts.
ENDLESS: dict[str, Any] = {"ignore_eos": True, "max_tokens": 20_000}
DEADLINE_S = 30


async def post(session: aiohttp.ClientSession, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"model": "fake", "messages": QUESTION, "max_tokens": 8} | fields
    async with session.post("/v1/chat/completions", json=body) as response:
        return response.status, await response.json()


def ask(text: str = "hello", *, model: str = "fake", **changes: Any) -> ChatRequest:
    messages = (Message("user", (TextPart(text),)),)
    fields: dict[str, Any] = {"model": model, "messages": messages, "seed": 1, "now_s": 0}
    return ChatRequest(**(fields | changes))


async def collect(events: AsyncGenerator[Event]) -> list[Event]:
    async with asyncio.timeout(DEADLINE_S), aclosing(events):
        return [event async for event in events]


def deltas_of(events: list[Event]) -> list[Delta]:
    return [delta for event in events if isinstance(event, Piece) for delta in event.deltas]


def text_of(events: list[Event]) -> str:
    return "".join(delta.text for delta in deltas_of(events) if isinstance(delta, TextDelta))


async def test_stream_keeps_the_dialects_order(make_config: MakeConfig):
    async with serving(make_config()) as server, http(server) as session:
        body = {"model": "fake", "messages": QUESTION, "max_tokens": 8, "stream": True}
        async with session.post("/v1/chat/completions", json=body) as response:
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert response.headers["cache-control"] == "no-cache"
            assert response.headers["x-accel-buffering"] == "no", "or nginx holds it back"
            assert response.headers["x-request-id"] == response.headers["request-id"]
            lines = (await response.text()).split("\n\n")
        assert lines[0].startswith(': cortex {"accepted":')
        events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert all("role" not in c["choices"][0]["delta"] for c in chunks[1:])
        assert [c["choices"][0]["finish_reason"] is None for c in chunks[:-1]] == [True] * (
            len(chunks) - 1
        )
        assert chunks[-1]["choices"][0] | {"logprobs": None} == {
            "index": 0, "delta": {}, "logprobs": None, "finish_reason": "length",
        }  # fmt: skip
        assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
        assert not any("usage" in chunk for chunk in chunks)


async def test_the_same_question_has_the_same_answer_and_the_picture_matters(
    make_config: MakeConfig, png_uri: str
):
    async with serving(make_config()) as server, http(server) as session:
        seen = [
            {"type": "text", "text": "hello"},
            {"type": "image_url", "image_url": {"url": png_uri}},
        ]
        replies = [
            await post(session, messages=[{"role": "user", "content": content}])
            for content in ("hello", "hello", seen, seen)
        ]
        assert [status for status, _ in replies] == [200] * 4
        texts = [reply["choices"][0]["message"]["content"] for _, reply in replies]
        assert texts[0] == texts[1] and texts[2] == texts[3] and texts[0] != texts[2]
        tokens = [reply["usage"]["prompt_tokens"] for _, reply in replies]
        assert tokens[2] >= tokens[0] + 64


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "fack"}, 404, "model_not_found", "model"),
        ({"model": None}, 400, "invalid_request", "model"),
        ({"temperature": 9}, 400, "invalid_request", "temperature"),
        ({"functions": [{"name": "f"}]}, 400, "unsupported_parameter", "functions"),
        ({"messages": []}, 400, "invalid_request", "messages"),
        ({"stop": ["x"] * 65}, 400, "invalid_request", "stop"),
        ({"stop": "x" * 1025}, 400, "invalid_request", "stop"),
    ],
)
async def test_wrong_request_gets_its_row_of_the_error_table(
    make_config: MakeConfig, fields: dict[str, Any], status: int, code: str, param: str
):
    async with serving(make_config()) as server, http(server) as session:
        for stream in (False, True):
            got, reply = await post(session, stream=stream, **fields)
            told = reply["error"]
            assert (got, told["code"], told["param"]) == (status, code, param)
            assert told["type"] == "invalid_request_error"


async def test_prompt_longer_than_the_context_is_refused_before_the_stream(make_config: MakeConfig):
    config = make_config(context_limit_tokens=64)
    async with serving(config) as server, http(server) as session:
        long = [{"role": "user", "content": "a" * 500}]
        status, reply = await post(session, messages=long, stream=True)
        assert (status, reply["error"]["code"]) == (400, "context_length_exceeded")
        assert reply["error"]["param"] == "messages"
        assert reply["error"]["message"].startswith("prompt is too long: ")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/a.png", "image_url_unsupported"),
        ("data:image/png;base64,%%%", "invalid_image"),
        ("data:image/png;base64," + base64.b64encode(b"not a picture").decode(), "invalid_image"),
    ],
)
async def test_bad_picture_is_refused_by_name(make_config: MakeConfig, url: str, code: str):
    content = [{"type": "image_url", "image_url": {"url": url}}]
    async with serving(make_config()) as server, http(server) as session:
        status, reply = await post(session, messages=[{"role": "user", "content": content}])
        assert (status, reply["error"]["code"]) == (400, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/no/such", 404, "model_not_found"),
        ("POST", "/v1/chat/completions", 400, "invalid_request"),
    ],
)
async def test_faults_outside_the_handlers_wear_the_envelope_too(
    make_config: MakeConfig, method: str, path: str, status: int, code: str
):
    async with (
        serving(make_config()) as server,
        http(server) as session,
        session.request(method, path) as response,
    ):
        told = (await response.json())["error"]
        assert (response.status, told["code"]) == (status, code)
        assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(("expected", "is_asked"), [("100-continue", True), ("fire", False)])
async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked_and_others_just_answered(
    make_config: MakeConfig, expected: str, is_asked: bool
):
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nexpect: {expected}\r\nconnection: close\r\n"
    async with serving(make_config()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"{head}content-length: 2\r\n\r\n{{}}".encode())
        reply = (await reader.read()).decode()
        writer.close()
    assert reply.startswith("HTTP/1.1 100 Continue\r\n\r\n") == is_asked
    assert "HTTP/1.1 400 Bad Request" in reply and "model: required" in reply


async def test_an_expectation_that_nobody_meets_is_overlooked_where_there_is_nothing_too(
    make_config: MakeConfig,
):
    async with (
        serving(make_config()) as server,
        http(server) as session,
        session.get("/nowhere", headers={"expect": "fire"}) as response,
    ):
        told = (await response.json())["error"]
        assert (response.status, told["code"]) == (404, "not_found")


@pytest.mark.parametrize("is_declared", [True, False])
async def test_body_over_the_limit_is_413(make_config: MakeConfig, is_declared: bool):
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield b" " * 1000

    body = b" " * 20_000 if is_declared else pieces()
    config = make_config(max_body_bytes=10_000)
    async with (
        serving(config) as server,
        http(server) as session,
        session.post("/v1/chat/completions", data=body) as response,
    ):
        told = (await response.json())["error"]
        assert (response.status, told["code"]) == (413, "request_too_large")


async def test_models_are_listed_with_capabilities_in_both_dialects(make_config: MakeConfig):
    async with serving(make_config()) as server, http(server) as session:
        async with session.get("/v1/models?limit=5") as response:
            listed = await response.json()
        assert (listed["first_id"], listed["last_id"]) == ("fake", "fake")
        assert listed["data"][0]["capabilities"] == ["text", "vision"]
        assert listed["data"][0]["context_length"] == 32768
        headers = {"anthropic-version": "2023-06-01"}
        async with session.get("/v1/models/fake", headers=headers) as response:
            capabilities = (await response.json())["capabilities"]
            assert capabilities["image_input"] == {"supported": True}
        async with session.get("/v1/models/none", headers=headers) as response:
            assert (await response.json())["error"]["type"] == "not_found_error"


async def test_base_address_answers_probes_and_healthz_tells_the_state(make_config: MakeConfig):
    async with serving(make_config()) as server, http(server) as session:
        for method in ("GET", "HEAD"):
            async with session.request(method, "/") as response:
                assert response.status == 200
        await post(session)
        async with session.get("/healthz") as response:
            health = await response.json()
            assert response.status == 200
        assert (health["status"], health["models"][0]["id"]) == ("ok", "fake")
        assert (health["engines"][0]["state"], health["text"]["state"]) == ("up", "up")
        figures = {"step_count", "queued", "weight_bytes"}
        assert all(isinstance(health["engines"][0][name], int) for name in figures)


async def test_engine_that_cannot_start_is_a_clean_error_and_shows_in_healthz(
    make_config: MakeConfig, tmp_path: Path
):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    config = make_config(fake_script=broken)
    async with serving(config) as server, http(server) as session:
        status, reply = await post(session)
        assert (status, reply["error"]["code"]) == (502, "engine_failed")
        assert "above" not in reply["error"]["message"]
        async with session.get("/healthz") as response:
            health = await response.json()
            assert (response.status, health["status"]) == (200, "failing")
        assert (health["engines"][0]["state"], health["engines"][0]["step_count"]) == (
            "failed",
            None,
        )
        # Whoever looks for a peer still finds this one: its next request starts the engine again.
        broken.write_text('{"replies": ["mended"]}')
        name, events = await through_backend(config, ask(), server.address)
        assert (name, text_of(events)) == (server.address, "mended")


async def test_many_requests_at_once_get_their_own_answers(make_config: MakeConfig):
    async with serving(make_config()) as server, http(server) as session:
        alone = [
            await post(session, messages=[{"role": "user", "content": f"n {i}"}]) for i in range(8)
        ]
        together = await asyncio.gather(
            *(post(session, messages=[{"role": "user", "content": f"n {i}"}]) for i in range(8))
        )
        answers = [reply["choices"][0]["message"]["content"] for _, reply in alone]
        assert [r["choices"][0]["message"]["content"] for _, r in together] == answers
        assert len(set(answers)) > 1


async def test_two_models_take_turns_in_one_engine(
    make_config: MakeConfig, make_models: Callable[..., Path]
):
    config = make_config(models_dirs=(make_models("one", "two"),))
    async with serving(config) as server, http(server) as session:
        names = ["one", "two", "one", "two"]
        replies = await asyncio.gather(*(post(session, model=name) for name in names))
        assert [status for status, _ in replies] == [200] * 4
        assert [reply["model"] for _, reply in replies] == names


@pytest.mark.parametrize("stream", [True, False])
async def test_request_that_kills_engines_is_an_error_that_clients_do_not_try_again(
    make_config: MakeConfig, write_harm: Callable[..., Path], stream: bool
):
    script = write_harm(how="kill", at=2, epochs=99, word="killer")
    async with serving(make_config(fake_script=script)) as server, http(server) as session:
        body = {
            "model": "fake",
            "messages": [{"role": "user", "content": "killer"}],
            "stream": stream,
        }
        async with session.post("/v1/chat/completions", json=body) as response:
            text = await response.text()
            assert response.status == (200 if stream else 502)
            assert stream or response.headers["x-should-retry"] == "false"
        assert '"code":"attempts_exhausted"' in text.replace('": "', '":"')
        assert not stream or text.endswith("data: [DONE]\n\n")
        assert (await post(session, max_tokens=1))[0] == 200
        async with session.get("/healthz") as response:
            engine = (await response.json())["engines"][0]
        assert (engine["restarts"], engine["last_end"]) == (
            3,
            "ended, signal SIGKILL, as when memory runs out",
        )


async def test_text_process_killed_is_started_again_for_the_next_request(make_config: MakeConfig):
    async with serving(make_config()) as server, http(server) as session:
        assert (await post(session))[0] == 200
        pid = server.node.health.text.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: server.node.health.text.pid != pid)
        assert (await post(session))[0] == 200


async def test_children_are_gone_when_the_peer_is(make_config: MakeConfig):
    async with serving(make_config()) as server, http(server) as session:
        await post(session)
        health = server.node.health
        pids = [health.engines[0].pid, health.text.pid]
    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def through_backend(
    config: PeerConfig, request: ChatRequest, peer: str | None = None
) -> tuple[str, list[Event]]:
    async with open_backend(config, peer, on_notice=print, on_passed_over=print) as backend:
        return backend.name, await collect(backend.chat(request))


async def test_private_node_and_running_peer_give_the_same_events(
    make_config: MakeConfig, png: bytes
):
    config = make_config()
    content = (TextPart("what is this?"), ImagePart(png))
    request = ask(messages=(Message("user", content),), max_tokens=30)
    name, private = await through_backend(config, request)
    assert name == "private"
    async with serving(config) as server:
        name, remote = await through_backend(config, request, server.address)
        assert name == server.address
    assert text_of(private) == text_of(remote) != ""
    assert private[-1] == remote[-1]
    assert isinstance(private[-1], Finished)
    # What tells prompts apart is for peers, and no client is told.
    accepted = [
        [replace(e, prompt_hash=b"") for e in events if isinstance(e, Accepted)]
        for events in (private, remote)
    ]
    assert accepted[0] == accepted[1] and len(accepted[0]) == 1
    assert any(isinstance(event, Stage) for event in private)


async def test_refusals_are_the_same_from_a_private_node_and_a_running_peer(
    make_config: MakeConfig,
):
    config = make_config()
    bad = ask(messages=(Message("user", (ImagePart(b"junk"),)),))
    for request, error in ((bad, InvalidImage), (ask(model="fack"), ModelNotFound)):
        with pytest.raises(error) as private:
            await through_backend(config, request)
        async with serving(config) as server:
            with pytest.raises(error) as remote:
                await through_backend(config, request, server.address)
        # A running peer looks at others too.
        message = remote.value.message.replace("in this fleet", "on this peer")
        assert (message, remote.value.hint) == (private.value.message, private.value.hint)


async def test_closing_a_remote_answer_frees_the_peer(make_config: MakeConfig):
    config = make_config(fake_token_interval_ms=20)

    async def first_text(backend: Backend) -> None:
        async with aclosing(backend.chat(ask(**ENDLESS))) as events:
            async for event in events:
                if isinstance(event, Piece):
                    return

    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        open_backend(config, server.address, on_notice=print, on_passed_over=print) as backend,
    ):
        await first_text(backend)
        await until(lambda: server.node.health.live_requests == 0)
