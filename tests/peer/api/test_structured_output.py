"""Answers that are held to something, through a whole peer, in every dialect that can ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jsonschema_rs
import pytest

from cortex.peer.config import PeerConfig
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
Post = Callable[..., Any]
DEADLINE_S = 60
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "total": {"type": "number", "minimum": 0, "maximum": 999},
        "words": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
    "required": ["total", "words"],
    "additionalProperties": False,
}
TURNS = [{"role": "user", "content": "What is the total?"}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "bill", "schema": SCHEMA, "strict": True}}
FUNCTION = {"name": "pay", "parameters": SCHEMA, "strict": True}


@asynccontextmanager
async def asked(config: PeerConfig) -> AsyncGenerator[Post]:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):

        async def post(path: str, **body: Any) -> tuple[int, Any]:
            wish = {"model": "fake", "max_tokens": 900} | body
            async with session.post(path, json=wish) as response:
                return response.status, await response.json()

        yield post


def check(text: str) -> None:
    jsonschema_rs.validator_for(SCHEMA).validate(json.loads(text))


async def test_every_dialect_gets_json_of_its_schema(make_config: MakeConfig) -> None:
    async with asked(make_config()) as post:
        status, chat = await post("/v1/chat/completions", messages=TURNS, response_format=FORMAT)
        assert status == 200, chat
        check(chat["choices"][0]["message"]["content"])
        status, reply = await post(
            "/v1/responses",
            input="What is the total?",
            text={"format": {"type": "json_schema", "name": "bill", "schema": SCHEMA}},
        )
        assert status == 200, reply
        check(reply["output"][-1]["content"][0]["text"])
        status, message = await post(
            "/v1/messages",
            messages=TURNS,
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        )
        assert status == 200, message
        check(message["content"][-1]["text"])


async def test_plain_completions_are_held_to_what_is_asked_behind_their_echo(
    make_config: MakeConfig,
) -> None:
    async with asked(make_config()) as post:
        wish: dict[str, Any] = {"prompt": ["The total: ", "Again: "], "echo": True}
        status, reply = await post("/v1/completions", response_format=FORMAT, **wish)
        assert status == 200, reply
        for prompt, choice in zip(wish["prompt"], reply["choices"], strict=True):
            assert choice["text"].startswith(prompt)
            check(choice["text"].removeprefix(prompt))
        status, reply = await post(
            "/v1/completions", prompt="Yes or no? ", structured_outputs={"choice": ["yes", "no"]}
        )
        assert status == 200, reply
        assert reply["choices"][0]["text"] in ("yes", "no")
        status, reply = await post("/v1/completions", prompt="a", structured_outputs={"regex": "("})
        assert (status, reply["error"]["param"]) == (400, "structured_outputs.regex")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "pay"}}])
async def test_a_call_that_must_come_comes(make_config: MakeConfig, choice: Any) -> None:
    async with asked(make_config()) as post:
        tools = [{"type": "function", "function": FUNCTION}]
        status, chat = await post(
            "/v1/chat/completions",
            messages=TURNS, tools=tools, tool_choice=choice, parallel_tool_calls=False,
        )  # fmt: skip
        assert status == 200, chat
        (reply,) = chat["choices"]
        assert reply["finish_reason"] == "tool_calls"
        assert not reply["message"]["content"]
        (call,) = reply["message"]["tool_calls"]
        assert call["function"]["name"] == "pay"
        check(call["function"]["arguments"])


async def test_any_tool_of_the_messages_dialect_can_be_made_to_come(
    make_config: MakeConfig,
) -> None:
    async with asked(make_config()) as post:
        status, message = await post(
            "/v1/messages",
            messages=TURNS,
            tools=[{"name": "pay", "input_schema": SCHEMA}],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
        )
        assert status == 200, message
        assert message["stop_reason"] == "tool_use"
        check(json.dumps(message["content"][-1]["input"]))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"not": {}}, "not supported"),
    ({"$ref": "http://example.invalid/"}, "example.invalid"),
    ({"properties": {"a": {"$ref": "#/properties/a"}}}, "'#/properties/a'"),
    ({"enum": [{"a": [[]]}] * 20_000}, "parts"),
    ({"type": "string", "pattern": "("}, "unclosed"),
]


@pytest.mark.parametrize(("schema", "reason"), BAD)
async def test_a_bad_schema_is_refused_before_a_stream_begins(
    make_config: MakeConfig, schema: Any, reason: str
) -> None:
    async with asked(make_config()) as post:
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        status, body = await post(
            "/v1/chat/completions", messages=TURNS, response_format=wanted, stream=True
        )
        assert status == 400, body
        error = body["error"]
        assert error["type"] == "invalid_request_error"
        assert error["param"] == "response_format.json_schema.schema"
        assert reason in error["message"]


LONG = "a" * (256 * 1024 + 1)
LONG_SCHEMA = {"enum": [LONG]}
TOO_LONG: list[tuple[str, dict[str, Any], str]] = [
    (
        "/v1/completions",
        {"prompt": ["a"] * 32, "structured_outputs": {"regex": LONG}},
        "structured_outputs.regex",
    ),
    (
        "/v1/chat/completions",
        {"messages": TURNS, "structured_outputs": {"choice": [LONG]}},
        "structured_outputs.choice",
    ),
    (
        "/v1/messages",
        {
            "messages": TURNS,
            "output_config": {"format": {"type": "json_schema", "schema": LONG_SCHEMA}},
        },
        "output_config.format.schema",
    ),
    (
        "/v1/responses",
        {
            "input": "a",
            "text": {"format": {"type": "json_schema", "name": "x", "schema": LONG_SCHEMA}},
        },
        "text.format.schema",
    ),
]


@pytest.mark.parametrize(("path", "wish", "param"), TOO_LONG)
async def test_a_form_over_its_limit_is_refused_before_anything_is_done_for_its_prompts(
    make_config: MakeConfig, path: str, wish: dict[str, Any], param: str
) -> None:
    async with asked(make_config()) as post:
        status, body = await post(path, **wish, model="no-such-model")
        assert status == 400, body
        assert f"{param}: " in body["error"]["message"]
        assert "over the limit of" in body["error"]["message"]


async def test_a_budget_ends_the_thinking(make_config: MakeConfig) -> None:
    async with asked(make_config()) as post:
        status, message = await post(
            "/v1/messages",
            messages=TURNS,
            thinking={"type": "enabled", "budget_tokens": 1024},
            max_tokens=1200,
        )
        assert status == 200, message
        thinking, *_ = message["content"]
        assert thinking["type"] == "thinking"
        assert len(thinking["thinking"]) <= 1024
        assert message["stop_reason"] in ("end_turn", "max_tokens")
