"""POST /v1/responses through a whole peer, as the official client sees it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from cortex.peer.config import PeerConfig
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
WriteScript = Callable[..., Path]
Read = Callable[[bytes], dict[str, Any]]
DEADLINE_S = 30
PATCH = "*** Begin\n+a"
CALLS = [
    {"name": "ns__look", "arguments": {"key": "o"}},
    {"name": "patch", "arguments": {"input": PATCH}},
]
MARKED = "\n".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in CALLS)
REPLY = f"<think>\nhm\n</think>\n\nI look.\n\n{MARKED}"
TOOLS: list[dict[str, Any]] = [
    {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "look"}]},
    {"type": "custom", "name": "patch"},
]


@asynccontextmanager
async def client(config: PeerConfig) -> AsyncGenerator[Any]:
    async with asyncio.timeout(DEADLINE_S), serving(config) as server:
        base = f"http://{server.address}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as official:
            yield official


@asynccontextmanager
async def posting(config: PeerConfig) -> AsyncGenerator[Callable[..., Any]]:
    """Bodies sent as they are, bytes back."""
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):

        async def post(**fields: Any) -> tuple[int, bytes]:
            body = {"model": "fake", "input": "hi"} | fields
            async with session.post("/v1/responses", json=body) as reply:
                return reply.status, await reply.read()

        yield post


def told(response: dict[str, Any]) -> list[tuple[str, str]]:
    """What its items say, without their ids."""
    return [(item["type"], _words(item)) for item in response["output"]]


def _words(item: dict[str, Any]) -> str:
    match item["type"]:
        case "function_call":
            return f"{item['namespace']} {item['name']} {item['arguments']}"
        case "custom_tool_call":
            return f"{item['name']} {item['input']}"
        case _:
            return item["content"][0]["text"]


async def test_a_stream_ends_with_what_the_whole_reply_says(
    make_config: MakeConfig, write_script: WriteScript, read_stream: Read
):
    async with posting(make_config(fake_script=write_script(REPLY))) as post:
        _, whole = await post(tools=TOOLS, seed=3)
        _, stream = await post(tools=TOOLS, seed=3, stream=True)
    events = b"\n\n".join(e for e in stream.split(b"\n\n") if not e.startswith(b": "))
    last, first = read_stream(events), json.loads(whole)
    assert told(last) == told(first)
    assert told(first) == [
        ("reasoning", "hm"),
        ("message", "I look."),
        ("function_call", 'ns look {"key":"o"}'),
        ("custom_tool_call", f"patch {PATCH}"),
    ]
    assert (first["status"], first["usage"]["total_tokens"]) == (
        "completed",
        last["usage"]["total_tokens"],
    )


async def test_log_probabilities_reach_the_client(
    make_config: MakeConfig, write_script: WriteScript
):
    async with client(make_config(fake_script=write_script("äb"))) as official:
        wish: dict[str, Any] = {"model": "fake", "input": "x", "top_logprobs": 2}
        whole = await official.responses.create(**wish)
        stream = await official.responses.create(**wish, stream=True)
        pieces = [e.logprobs async for e in stream if e.type == "response.output_text.delta"]
    entries = whole.output[-1].content[0].logprobs
    assert b"".join(bytes(entry.bytes) for entry in entries) == "äb".encode()
    assert [len(entry.top_logprobs) for entry in entries] == [2] * len(entries)
    assert sum(map(len, pieces)) == len(entries)


async def test_a_form_that_was_asked_for_is_said_again(
    make_config: MakeConfig, write_script: WriteScript
):
    wanted = {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "object"}}
    async with posting(make_config(fake_script=write_script('{"a":1}'))) as post:
        status, body = await post(text={"format": wanted}, metadata={"a": "b"})
    response = json.loads(body)
    assert (status, response["text"], response["metadata"]) == (200, {"format": wanted}, {"a": "b"})


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "nobody"}, 404, "model_not_found", "model"),
        ({"input": 5}, 400, "invalid_request", "input"),
        ({"previous_response_id": "r"}, 400, "unsupported_parameter", "previous_response_id"),
        (
            {"input": [{"type": "item_reference", "id": "x"}]},
            400,
            "unsupported_content",
            "input[0]",
        ),
        (
            {
                "input": [
                    {
                        "role": "user",
                        "content": [{"type": "input_image", "image_url": "http://127.0.0.1:9/a"}],
                    }
                ]
            },
            400,
            "image_url_unsupported",
            "input[0].content[0].image_url",
        ),
    ],
)
@pytest.mark.parametrize("is_streamed", [True, False])
async def test_what_is_refused_is_refused_before_the_stream(
    make_config: MakeConfig,
    fields: dict[str, Any],
    status: int,
    code: str,
    param: str,
    is_streamed: bool,
):
    async with posting(make_config()) as post:
        answered, body = await post(**fields, stream=is_streamed)
    error = json.loads(body)["error"]
    assert (answered, error["code"], error["param"]) == (status, code, param)


async def test_a_prompt_too_long_is_told_in_the_stream_that_was_asked_for(
    make_config: MakeConfig, read_stream: Read
):
    async with posting(make_config(context_limit_tokens=64)) as post:
        status, stream = await post(input="a" * 500, stream=True)
        plain_status, plain = await post(input="a" * 500)
    last = read_stream(stream)
    assert (status, last["status"], last["output"]) == (200, "failed", [])
    assert last["error"]["code"] == "context_length_exceeded"
    assert last["error"]["message"].startswith("prompt is too long: ")
    assert (plain_status, json.loads(plain)["error"]["code"]) == (400, "context_length_exceeded")


async def test_pictures_in_questions_and_outputs_are_seen(make_config: MakeConfig, png: bytes):
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    seen = [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": url}]
    call = {"type": "function_call", "call_id": "c", "name": "see", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": seen}
    async with posting(make_config()) as post:
        wish = {"max_output_tokens": 1}
        _, plain = await post(**wish)
        _, in_question = await post(**wish, input=[{"role": "user", "content": seen}])
        _, in_output = await post(**wish, input=[{"role": "user", "content": "hi"}, call, output])
    without, *with_one = (
        json.loads(body)["usage"]["input_tokens"] for body in (plain, in_question, in_output)
    )
    assert min(with_one) > without


async def test_an_engine_that_dies_for_good_fails_the_response(
    make_config: MakeConfig, write_harm: Callable[..., Path], read_stream: Read
):
    config = make_config(fake_script=write_harm(how="exit", at=3, epochs=99))
    async with posting(config) as post:
        status, stream = await post(stream=True, seed=1)
    events = b"\n\n".join(e for e in stream.split(b"\n\n") if not e.startswith(b": "))
    last = read_stream(events)
    assert (status, last["status"]) == (200, "failed")
    assert last["error"]["code"] == "invalid_prompt"
