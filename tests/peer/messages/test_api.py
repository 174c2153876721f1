"""The messages dialect over HTTP: a whole peer with the fake engine, and the official client."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cortex.peer.config import PeerConfig
from tests.peer.in_memory import http, serving

Json = dict[str, Any]
MakeConfig = Callable[..., PeerConfig]
WriteScript = Callable[..., Path]
ReadStream = Callable[[bytes], Json]
QUESTION: list[Json] = [{"role": "user", "content": "How warm is it?"}]
TOOLS: list[Json] = [{"name": "weather", "input_schema": {"type": "object"}}]
ONE = '<tool_call>{"name": "weather", "arguments": {"city": "Zürich"}}</tool_call>'
TWO = '<tool_call>{"name": "weather", "arguments": {"city": "Rome", "at": [1, 2]}}</tool_call>'
REPLY = f"<think>\nI must look.\n</think>\n\nI look.\n\n{ONE}\n{TWO}"


def wish(**fields: Any) -> Json:
    return {"model": "fake", "max_tokens": 500, "messages": QUESTION} | fields


async def post(session: aiohttp.ClientSession, **fields: Any) -> tuple[int, Json, Any]:
    async with session.post("/v1/messages", json=wish(**fields)) as response:
        return response.status, await response.json(), response.headers


async def test_a_stream_on_the_wire_is_in_order(
    make_config: MakeConfig, write_script: WriteScript, read_stream: ReadStream
):
    async with (
        serving(make_config(fake_script=write_script(REPLY))) as server,
        http(server) as session,
        session.post("/v1/messages?beta=true", json=wish(tools=TOOLS, stream=True)) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["request-id"] == response.headers["x-request-id"]
        body = await response.read()
    events = [block for block in body.split(b"\n\n") if not block.startswith(b":")]
    message = read_stream(b"\n\n".join(events))
    assert [block["type"] for block in message["content"]] == [
        "thinking",
        "text",
        "tool_use",
        "tool_use",
    ]


@pytest.mark.parametrize(
    ("fields", "status", "kind", "code"),
    [
        ({"max_tokens": None}, 400, "invalid_request_error", "invalid_request"),
        ({"temperature": 2}, 400, "invalid_request_error", "invalid_request"),
        ({"model": "nobody"}, 404, "not_found_error", "model_not_found"),
    ],
)
async def test_a_wrong_request_gets_its_row_of_the_error_table(
    make_config: MakeConfig, fields: Json, status: int, kind: str, code: str
):
    async with serving(make_config()) as server, http(server) as session:
        answered, body, headers = await post(session, **fields)
    assert (answered, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["error"]["details"]["error_code"] == code
    assert body["request_id"] == headers["request-id"]


async def test_a_prompt_longer_than_the_context_is_told_in_the_words_that_agents_read(
    make_config: MakeConfig,
):
    long: list[Json] = [{"role": "user", "content": "word " * 100_000}]
    async with serving(make_config()) as server, http(server) as session:
        status, body, _ = await post(session, messages=long, stream=True)
    assert status == 400
    assert body["error"]["message"].startswith("prompt is too long: ")
    assert " tokens > " in body["error"]["message"]
    assert body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", 404, "not_found_error"),
    ],
)
async def test_faults_outside_the_handlers_wear_the_envelope_too(
    make_config: MakeConfig, method: str, path: str, status: int, kind: str
):
    async with (
        serving(make_config()) as server,
        http(server) as session,
        session.request(method, path, data=b"{") as response,
    ):
        body = json.loads(await response.read())
    assert (response.status, body["type"], body["error"]["type"]) == (status, "error", kind)


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_an_answer_that_breaks_off_does_not_end_like_a_finished_one(
    make_config: MakeConfig,
    write_harm: Callable[..., Path],
    read_events: Callable[[bytes], list[Json]],
    is_streamed: bool,
):
    script = write_harm(how="kill", at=2, epochs=99, word="killer")
    messages: list[Json] = [{"role": "user", "content": "killer"}]
    async with (
        serving(make_config(fake_script=script)) as server,
        http(server) as session,
        session.post("/v1/messages", json=wish(messages=messages, stream=is_streamed)) as response,
    ):
        body = await response.read()
    if not is_streamed:
        assert (response.status, json.loads(body)["error"]["type"]) == (502, "api_error")
        return
    blocks = [block for block in body.split(b"\n\n") if not block.startswith(b":")]
    events = read_events(b"\n\n".join(blocks))
    assert response.status == 200
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "error")
    assert events[-1]["error"]["details"]["error_code"] == "attempts_exhausted"
    assert "message_stop" not in [event["type"] for event in events]
