"""The messages dialect over HTTP: a whole peer with the fake engine, and the official client."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import pytest

from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import Server
from tests.peer.in_memory import serving

Json = dict[str, Any]
MakeConfig = Callable[..., PeerConfig]
WriteScript = Callable[..., Path]
ReadStream = Callable[[bytes], Json]
DEADLINE_S = 30
QUESTION: list[Json] = [{"role": "user", "content": "How warm is it?"}]
TOOLS: list[Json] = [{"name": "weather", "input_schema": {"type": "object"}}]
ONE = '<tool_call>{"name": "weather", "arguments": {"city": "Zürich"}}</tool_call>'
TWO = '<tool_call>{"name": "weather", "arguments": {"city": "Rome", "at": [1, 2]}}</tool_call>'
REPLY = f"<think>\nI must look.\n</think>\n\nI look.\n\n{ONE}\n{TWO}"


@asynccontextmanager
async def official(server: Server) -> AsyncGenerator[Any]:
    """The official client, whose own types know no plain dicts."""
    base = f"http://{server.address}"
    async with (
        asyncio.timeout(DEADLINE_S),
        anthropic.AsyncAnthropic(base_url=base, api_key="none", max_retries=0) as client,
    ):
        yield client


@asynccontextmanager
async def http(server: Server) -> AsyncGenerator[aiohttp.ClientSession]:
    async with (
        asyncio.timeout(DEADLINE_S),
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):
        yield session


def wish(**fields: Any) -> Json:
    return {"model": "fake", "max_tokens": 500, "messages": QUESTION} | fields


async def post(session: aiohttp.ClientSession, **fields: Any) -> tuple[int, Json, Any]:
    async with session.post("/v1/messages", json=wish(**fields)) as response:
        return response.status, await response.json(), response.headers


async def test_the_official_client_gets_an_answer_with_its_cost(
    make_config: MakeConfig, write_script: WriteScript
):
    config = make_config(fake_script=write_script("Twenty degrees."))
    async with serving(config) as server, official(server) as client:
        message = await client.messages.create(**wish(system="Be brief."))
    assert (message.type, message.role, message.model) == ("message", "assistant", "fake")
    assert message.id.startswith("msg_")
    assert [block.text for block in message.content] == ["Twenty degrees."]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


async def test_the_official_client_streams_the_same_answer_as_it_gets_whole(
    make_config: MakeConfig, write_script: WriteScript
):
    async with (
        serving(make_config(fake_script=write_script(REPLY))) as server,
        official(server) as client,
    ):
        whole = await client.messages.create(**wish(tools=TOOLS))
        async with client.messages.stream(**wish(tools=TOOLS)) as stream:
            streamed = await stream.get_final_message()
    thinking, text, first, second = whole.content
    assert (thinking.thinking, text.text) == ("I must look.", "I look.")
    assert first.input == {"city": "Zürich"}
    assert second.input == {"city": "Rome", "at": [1, 2]}
    assert first.id.startswith("toolu_")
    assert first.id != second.id
    assert whole.stop_reason == "tool_use"
    kinds = ("type", "thinking", "text", "name", "input", "signature")
    for ours, theirs in zip(whole.content, streamed.content, strict=True):
        assert [getattr(ours, k, None) for k in kinds] == [getattr(theirs, k, None) for k in kinds]
    assert streamed.stop_reason == "tool_use"
    assert total(streamed.usage) == total(whole.usage)


def total(usage: Any) -> tuple[int, int]:
    return (usage.input_tokens + usage.cache_read_input_tokens, usage.output_tokens)


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


async def test_results_lead_to_the_next_answer(make_config: MakeConfig, write_script: WriteScript):
    async with (
        serving(make_config(fake_script=write_script(REPLY, "Rome is warmer."))) as server,
        official(server) as client,
    ):
        first = await client.messages.create(**wish(tools=TOOLS))
        results: list[Json] = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "20"}
            for block in first.content
            if block.type == "tool_use"
        ]
        turns = [
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": results},
        ]
        second = await client.messages.create(**wish(tools=TOOLS, messages=[*QUESTION, *turns]))
    assert [block.text for block in second.content] == ["Rome is warmer."]
    assert second.stop_reason == "end_turn"


async def test_a_stop_sequence_is_named_and_not_part_of_the_answer(
    make_config: MakeConfig, write_script: WriteScript
):
    config = make_config(fake_script=write_script("One, two, STOP three"))
    async with serving(config) as server, official(server) as client:
        message = await client.messages.create(**wish(stop_sequences=["NO", "STOP"]))
    assert message.content[0].text == "One, two, "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")


async def test_a_limit_ends_an_answer_and_none_at_all_only_reads_the_prompt(
    make_config: MakeConfig, write_script: WriteScript
):
    config = make_config(fake_script=write_script("One, two, three, four"))
    async with serving(config) as server, official(server) as client:
        short = await client.messages.create(**wish(max_tokens=5))
        none = await client.messages.create(**wish(max_tokens=0))
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 5)
    assert (none.stop_reason, none.usage.output_tokens) == ("max_tokens", 0)
    assert [block.text for block in none.content] == [""]


async def test_thinking_can_be_told_without_its_text(
    make_config: MakeConfig, write_script: WriteScript
):
    config = make_config(fake_script=write_script(REPLY))
    thinking = {"type": "adaptive", "display": "omitted"}
    async with serving(config) as server, official(server) as client:
        message = await client.messages.create(**wish(tools=TOOLS, thinking=thinking))
    assert message.content[0].thinking == ""
    assert message.content[0].signature


async def test_a_picture_changes_the_answer_and_costs_tokens(make_config: MakeConfig, png: bytes):
    source = {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(png).decode(),
    }
    shown: list[Json] = [
        {
            "role": "user",
            "content": [{"type": "image", "source": source}, {"type": "text", "text": "?"}],
        }
    ]
    plain: list[Json] = [{"role": "user", "content": "?"}]
    async with serving(make_config()) as server, official(server) as client:
        seen = await client.messages.create(**wish(messages=shown, max_tokens=8))
        unseen = await client.messages.create(**wish(messages=plain, max_tokens=8))
    assert seen.usage.input_tokens > unseen.usage.input_tokens
    assert seen.content[0].text != unseen.content[0].text


async def test_a_count_is_the_prompt_of_the_same_request(make_config: MakeConfig):
    prompt: Json = {"model": "fake", "messages": QUESTION, "system": "Be brief.", "tools": TOOLS}
    async with serving(make_config()) as server, official(server) as client:
        counts = await asyncio.gather(*(client.messages.count_tokens(**prompt) for _ in range(15)))
        message = await client.messages.create(**prompt, max_tokens=1)
    assert {count.input_tokens for count in counts} == {total(message.usage)[0]}


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


async def test_the_official_client_reads_an_errors_code_and_details(make_config: MakeConfig):
    image = {"type": "image", "source": {"type": "url", "url": "https://x.invalid/a.png"}}
    messages: list[Json] = [{"role": "user", "content": [image]}]
    async with serving(make_config()) as server, official(server) as client:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.create(**wish(messages=messages))
    error: Any = caught.value.body
    assert error["error"]["details"]["error_code"] == "image_url_unsupported"


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
