"""Reasoning and tool calls through a whole peer, as the official client sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from cortex.peer.config import PeerConfig
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
WriteScript = Callable[..., Path]
DEADLINE_S = 30
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "How warm is it?"}]
ONE = '<tool_call>{"name": "weather", "arguments": {"city": "Zürich"}}</tool_call>'
TWO = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
REPLY = f"<think>\nI must look.\n</think>\n\nI look.\n\n{ONE}\n{TWO}"


@asynccontextmanager
async def asked(config: PeerConfig) -> AsyncGenerator[Any]:
    """The official client's way of asking; its own types know no plain dicts."""
    async with asyncio.timeout(DEADLINE_S), serving(config) as server:
        base = f"http://{server.address}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
            official: Any = client.chat.completions.create

            async def create(**wish: Any) -> Any:
                return await official(**{"model": "fake", "messages": QUESTION, "seed": 3} | wish)

            yield create


def assembled(chunks: list[Any]) -> dict[str, Any]:
    """A stream put together, by the rule that each thing is added to what is there."""
    message: dict[str, Any] = {"role": "", "content": "", "reasoning": "", "calls": []}
    reasons: list[str] = []
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        assert not reasons, "something came behind the end"
        delta = choice.delta
        message["role"] += delta.role or ""
        message["content"] += delta.content or ""
        message["reasoning"] += getattr(delta, "reasoning_content", None) or ""
        for call in delta.tool_calls or ():
            if call.id:
                assert call.index == len(message["calls"])
                message["calls"].append([call.id, call.function.name, ""])
            message["calls"][call.index][2] += call.function.arguments or ""
        reasons += [choice.finish_reason] if choice.finish_reason else []
    return message | {"finish_reason": reasons}


async def test_a_stream_says_the_same_as_the_whole_reply(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script(REPLY))) as create:
        whole = await create(tools=TOOLS)
        stream = await create(tools=TOOLS, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
    [choice] = whole.choices
    calls = choice.message.tool_calls
    assert (choice.message.content, choice.message.reasoning_content) == ("I look.", "I must look.")
    assert choice.finish_reason == "tool_calls"
    cities = [json.loads(call.function.arguments)["city"] for call in calls]
    assert cities == ["Zürich", "Rome"]
    assert assembled(chunks) == {
        "role": "assistant",
        "content": "I look.",
        "reasoning": "I must look.",
        "calls": [[c.id, c.function.name, c.function.arguments] for c in calls],
        "finish_reason": ["tool_calls"],
    }
    assert len({call.id for call in calls}) == 2
    assert chunks[-1].usage == whole.usage
    thought = whole.usage.completion_tokens_details.reasoning_tokens
    assert 0 < thought < whole.usage.completion_tokens


async def test_a_result_leads_to_the_next_answer(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script(REPLY, "It is 20 degrees."))) as create:
        first = await create(tools=TOOLS)
        called = first.choices[0].message.model_dump(exclude_none=True)
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "20"}
            for call in called["tool_calls"]
        ]
        second = await create(tools=TOOLS, messages=[*QUESTION, called, *results])
    assert second.choices[0].message.content == "It is 20 degrees."
    assert second.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("wish", [{}, {"tools": TOOLS, "tool_choice": "none"}])
async def test_where_no_tool_was_offered_a_call_is_words(
    make_config: MakeConfig, write_script: WriteScript, wish: dict[str, Any]
):
    async with asked(make_config(fake_script=write_script(ONE))) as create:
        reply = await create(**wish)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (ONE, "stop")


async def test_no_second_call_comes_where_one_was_asked_for(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script(REPLY))) as create:
        reply = await create(tools=TOOLS, parallel_tool_calls=False)
    [choice] = reply.choices
    assert len(choice.message.tool_calls) == 1
    assert choice.finish_reason == "tool_calls"


async def test_a_call_cut_by_the_limit_says_so(make_config: MakeConfig, write_script: WriteScript):
    config = make_config(fake_script=write_script(ONE))
    async with asked(config) as create:
        stream = await create(tools=TOOLS, max_tokens=50, stream=True)
        message = assembled([chunk async for chunk in stream])
    assert message["finish_reason"] == ["length"]
    [[_, name, arguments]] = message["calls"]
    assert name == "weather" and arguments.startswith('{"city"') and not arguments.endswith("}")


@pytest.mark.parametrize(
    ("thinks", "reasoning", "content"),
    [(False, None, "hm</think>Yes."), (True, "hm", "Yes.")],
)
async def test_the_prompt_decides_whether_the_answer_begins_with_reasoning(
    make_config: MakeConfig,
    write_script: WriteScript,
    thinks: bool,
    reasoning: str | None,
    content: str,
):
    async with asked(make_config(fake_script=write_script("hm</think>Yes."))) as create:
        kwargs = {"enable_thinking": thinks}
        reply = await create(extra_body={"chat_template_kwargs": kwargs})
    message = reply.choices[0].message
    assert (getattr(message, "reasoning_content", None), message.content) == (reasoning, content)
