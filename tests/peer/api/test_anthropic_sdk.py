"""The official Anthropic client against a served peer: accumulators, parsers and errors."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel

from cortex.peer.config import PeerConfig
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.routing import asked as routing_asked
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
WriteScript = Callable[..., Path]
DEADLINE_S = 60
HELLO: Any = [{"role": "user", "content": "How warm is it?"}]
ONE = '<tool_call>{"name": "weather", "arguments": {"city": "Zürich"}}</tool_call>'
TWO = '<tool_call>{"name": "weather", "arguments": {"city": "Rome", "at": [1, 2]}}</tool_call>'
REPLY = f"<think>\nI must look.\n</think>\n\nI look.\n\n{ONE}\n{TWO}"
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"name": "weather", "description": "How warm it is", "input_schema": SCHEMA}]


class Person(BaseModel):
    name: str
    age: int


@asynccontextmanager
async def asked(config: PeerConfig, **options: Any) -> AsyncGenerator[Any]:
    """The client, whose own types know no plain dicts."""
    async with asyncio.timeout(DEADLINE_S), serving(config) as server:
        base = f"http://{server.address}"
        fields: dict[str, Any] = {"base_url": base, "api_key": "none", "max_retries": 0}
        async with anthropic.AsyncAnthropic(**(fields | options)) as client:
            yield client


def wish(**changes: Any) -> Any:
    return {"model": "fake", "messages": HELLO, "max_tokens": 400} | changes


def without_ids(message: Any) -> list[dict[str, Any]]:
    dumped = [block.model_dump() for block in message.content]
    kept = ("type", "text", "thinking", "name", "input")
    return [{name: block[name] for name in kept if name in block} for block in dumped]


def prompt_tokens(usage: Any) -> int:
    """Those remembered too, of which the second of two like requests has more."""
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return usage.input_tokens + cached


async def test_the_stream_helper_assembles_what_the_whole_message_says(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script(REPLY))) as client:
        asking = wish(tools=TOOLS)
        whole = await client.messages.create(**asking)
        async with client.messages.stream(**asking) as stream:
            assembled = await stream.get_final_message()
    assert without_ids(whole) == without_ids(assembled) == [
        {"type": "thinking", "thinking": "I must look."},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "name": "weather", "input": {"city": "Zürich"}},
        {"type": "tool_use", "name": "weather", "input": {"city": "Rome", "at": [1, 2]}},
    ]  # fmt: skip
    assert (whole.type, whole.role, whole.model) == ("message", "assistant", "fake")
    assert whole.id.startswith("msg_")
    assert whole.stop_reason == assembled.stop_reason == "tool_use"
    assert whole.stop_sequence is None
    assert prompt_tokens(whole.usage) == prompt_tokens(assembled.usage) > 0
    assert whole.usage.output_tokens == assembled.usage.output_tokens > 0
    assert whole.content[0].signature == assembled.content[0].signature != ""
    assert whole.content[2].id != whole.content[3].id


async def test_thinking_that_was_asked_for_is_shown_hidden_or_not_there(
    make_config: MakeConfig, write_script: WriteScript
):
    # Where thinking is on, the prompt has begun it already; where it is off, ended it.
    script = write_script("I must look.\n</think>\n\nIt is warm.")
    enabled = {"type": "enabled", "budget_tokens": 1024}
    async with asked(make_config(fake_script=script)) as client:
        create = client.messages.create
        shown = await create(**wish(thinking=enabled, max_tokens=2000))
        hidden = await create(**wish(thinking=enabled | {"display": "omitted"}, max_tokens=2000))
    text = {"type": "text", "text": "It is warm."}
    assert without_ids(shown) == [{"type": "thinking", "thinking": "I must look."}, text]
    assert without_ids(hidden) == [{"type": "thinking", "thinking": ""}, text]
    assert all(reply.content[0].signature for reply in (shown, hidden))


async def test_greedy_answers_are_the_same_plain_and_streamed_and_again(make_config: MakeConfig):
    async with asked(make_config()) as client:
        # It has no argument of its own for it any more.
        asking = wish(extra_body={"temperature": 0}, max_tokens=40)
        whole = await client.messages.create(**asking)
        again = await client.messages.create(**asking)
        async with client.messages.stream(**asking) as stream:
            assembled = await stream.get_final_message()
    assert without_ids(whole) == without_ids(again) == without_ids(assembled)


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "weather"}, {"type": "any"}])
async def test_a_forced_tool_is_called(
    make_config: MakeConfig, write_script: WriteScript, choice: Any
):
    async with asked(make_config(fake_script=write_script(ONE))) as client:
        reply = await client.messages.create(**wish(tools=TOOLS, tool_choice=choice))
    assert reply.stop_reason == "tool_use"
    assert without_ids(reply) == [
        {"type": "tool_use", "name": "weather", "input": {"city": "Zürich"}}
    ]


async def test_results_of_parallel_calls_are_answered_pictures_too(
    make_config: MakeConfig, write_script: WriteScript, png: bytes
):
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}
    async with asked(make_config(fake_script=write_script(REPLY, "Warm."))) as client:
        first = await client.messages.create(**wish(tools=TOOLS))
        calls = [block for block in first.content if block.type == "tool_use"]
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": calls[0].id, "content": "20 °C"},
            {
                "type": "tool_result",
                "tool_use_id": calls[1].id,
                "content": [{"type": "image", "source": source}],
            },
        ]
        spoken = {"role": "assistant", "content": [b.model_dump() for b in first.content]}
        turns = [*HELLO, spoken, {"role": "user", "content": results}]
        second = await client.messages.create(**wish(tools=TOOLS, messages=turns))
    assert without_ids(second) == [{"type": "text", "text": "Warm."}]
    assert second.stop_reason == "end_turn"


async def test_a_parsed_answer_is_an_object(make_config: MakeConfig, write_script: WriteScript):
    script = write_script('{"name": "Ada", "age": 36}')
    async with asked(make_config(fake_script=script)) as client:
        reply = await client.messages.parse(**wish(output_format=Person))
    assert reply.parsed_output == Person(name="Ada", age=36)


async def test_a_model_that_writes_nonsense_is_held_to_what_was_asked_for(make_config: MakeConfig):
    async with asked(make_config()) as client:
        reply = await client.messages.parse(**wish(output_format=Person))
        assert isinstance(reply.parsed_output, Person)
        forced = await client.messages.create(**wish(tools=TOOLS, tool_choice={"type": "any"}))
    assert forced.stop_reason == "tool_use"
    assert all("city" in block.input for block in forced.content if block.type == "tool_use")


async def test_a_stop_sequence_is_told_and_a_limit_too(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script("one two three"))) as client:
        stopped = await client.messages.create(**wish(stop_sequences=["two"]))
        assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "two")
        assert without_ids(stopped) == [{"type": "text", "text": "one "}]
        cut = await client.messages.create(**wish(max_tokens=3))
        assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)
        none = await client.messages.create(**wish(max_tokens=0))
        assert (none.stop_reason, none.usage.output_tokens) == ("max_tokens", 0)
        assert without_ids(none) == [{"type": "text", "text": ""}]


async def test_pictures_are_seen_or_refused_with_a_suggestion(
    make_config: MakeConfig, make_models: Callable[..., Path], png: bytes
):
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}
    shown = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    async with asked(make_config(models_dirs=(make_models("blind", blind=True),))) as client:
        seen = await client.messages.create(**wish(messages=shown))
        unseen = await client.messages.create(**wish())
        assert prompt_tokens(seen.usage) > prompt_tokens(unseen.usage)
        assert seen.content[0].text != unseen.content[0].text
        with pytest.raises(anthropic.BadRequestError) as refused:
            await client.messages.create(**wish(messages=shown, model="blind"))
    assert refused.value.error_code == "vision_unsupported"
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["error"]["details"]["suggestion"] == "fake"


FAR = {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1:1/a.png"}}


@pytest.mark.parametrize(
    ("kind", "code", "changes"),
    [
        (anthropic.NotFoundError, "model_not_found", {"model": "fack"}),
        (anthropic.BadRequestError, "invalid_request", {"messages": []}),
        (anthropic.BadRequestError, "invalid_request", {"max_tokens": -1}),
        (anthropic.BadRequestError, "invalid_request", {"stop_sequences": ["  "]}),
        (
            anthropic.BadRequestError,
            "context_length_exceeded",
            {"messages": [{"role": "user", "content": "word " * 50_000}]},
        ),
        (
            anthropic.BadRequestError,
            "image_url_unsupported",
            {"messages": [{"role": "user", "content": [FAR]}]},
        ),
    ],
)
async def test_a_refusal_is_its_class_with_its_code(
    make_config: MakeConfig, kind: type[anthropic.APIStatusError], code: str, changes: Any
):
    async with asked(make_config()) as client:
        for stream in (False, True):
            with pytest.raises(kind) as refused:
                await client.messages.create(**wish(stream=stream, **changes))
            assert refused.value.error_code == code
            assert refused.value.request_id
            if code == "context_length_exceeded":
                # The agent that reads this text compacts its history.
                assert "prompt is too long: 250" in refused.value.message


async def test_a_body_over_the_limit_and_a_peer_that_is_full_are_told_apart(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(routing_asked, "_PATIENCE_S", 0.1)
    config = make_config(max_body_bytes=1000, max_live_requests=1, fake_token_interval_ms=400)
    async with asked(config) as client:
        long = [{"role": "user", "content": "x" * 2000}]
        with pytest.raises(anthropic.APIStatusError) as refused:
            await client.messages.create(**wish(messages=long))
        assert (refused.value.status_code, refused.value.type) == (413, "request_too_large")
        async with client.messages.stream(**wish()) as stream:
            await anext(aiter(stream))
            with pytest.raises(anthropic.APIStatusError) as full:
                await client.messages.create(**wish())
        assert (full.value.status_code, full.value.type) == (529, "overloaded_error")
        assert 1 <= int(full.value.response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("way", ["api_key", "auth_token"])
async def test_keys_and_their_limits_have_their_classes(make_config: MakeConfig, way: str):
    config = make_config(
        keys=(ApiKey("one", digest_of("right"), max_concurrent=1),), fake_token_interval_ms=50
    )
    async with asked(config) as client:
        with pytest.raises(anthropic.AuthenticationError) as unknown:
            await client.messages.create(**wish())
        assert unknown.value.error_code == "invalid_api_key"
        other: Any = {"api_key": None, "auth_token": None} | {way: "right"}
        async with (
            anthropic.AsyncAnthropic(base_url=client.base_url, max_retries=0, **other) as known,
            known.messages.stream(**wish()) as stream,
        ):
            await anext(aiter(stream))
            with pytest.raises(anthropic.RateLimitError) as over:
                await known.messages.create(**wish())
        assert over.value.error_code == "rate_limit_exceeded"
        assert 1 <= int(over.value.response.headers["retry-after"]) <= 60


async def test_an_answer_that_breaks_off_raises_and_never_ends_cleanly(
    make_config: MakeConfig, write_harm: Callable[..., Path]
):
    harm = write_harm(how="kill", at=2, epochs=99, word="warm")
    async with asked(make_config(fake_script=harm)) as client:
        with pytest.raises(anthropic.APIStatusError):
            async with client.messages.stream(**wish()) as stream:
                await stream.get_final_message()


async def test_counted_tokens_are_those_of_the_prompt(make_config: MakeConfig):
    asking: Any = {"model": "fake", "messages": HELLO, "tools": TOOLS, "system": "Be brief."}
    async with asked(make_config()) as client:
        counts = [client.messages.count_tokens(**asking) for _ in range(15)]
        counted = {told.input_tokens for told in await asyncio.gather(*counts)}
        answered = await client.messages.create(**asking, max_tokens=1)
    assert counted == {prompt_tokens(answered.usage)}


async def test_tokens_are_counted_while_every_slot_is_taken(make_config: MakeConfig):
    config = make_config(max_live_requests=1, fake_token_interval_ms=50)
    async with asked(config) as client, client.messages.stream(**wish()) as stream:
        await anext(aiter(stream))
        assert (await client.messages.count_tokens(model="fake", messages=HELLO)).input_tokens


async def test_models_are_listed_as_a_strict_client_reads_them(make_config: MakeConfig):
    async with asked(make_config(), _strict_response_validation=True) as client:
        [model] = [model async for model in client.models.list()]
        assert (await client.models.retrieve("fake")).display_name == model.display_name == "fake"
