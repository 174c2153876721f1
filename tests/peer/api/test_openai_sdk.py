"""The official OpenAI client against a served peer: its accumulators, its parsers, its errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from pydantic import BaseModel

from cortex.peer.config import PeerConfig
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.routing import asked as routing_asked
from tests.peer.in_memory import serving
from tests.strict import chat
from tests.strict.sse import parse

MakeConfig = Callable[..., PeerConfig]
WriteScript = Callable[..., Path]
DEADLINE_S = 60
HELLO: Any = [{"role": "user", "content": "How warm is it?"}]
ONE = '<tool_call>{"name": "weather", "arguments": {"city": "Zürich"}}</tool_call>'
TWO = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
REPLY = f"<think>\nI must look.\n</think>\n\nI look.\n\n{ONE}\n{TWO}"
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION: Any = {"name": "weather", "parameters": SCHEMA, "strict": True}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]
OTHER_TOOLS: Any = [{"type": "function", **FUNCTION}, {"type": "custom", "name": "patch"}]
PATCH = '<tool_call>{"name": "patch", "arguments": {"input": "+a"}}</tool_call>'


class Person(BaseModel):
    name: str
    age: int


ADA = '{"name": "Ada", "age": 36}'


@asynccontextmanager
async def asked(config: PeerConfig, **options: Any) -> AsyncGenerator[Any]:
    """The client, whose own types know no plain dicts."""
    async with asyncio.timeout(DEADLINE_S), serving(config) as server:
        base = f"http://{server.address}/v1"
        fields: dict[str, Any] = {"base_url": base, "api_key": "none", "max_retries": 0}
        async with openai.AsyncOpenAI(**(fields | options)) as client:
            yield client


def calls_of(message: Any) -> list[tuple[str, Any]]:
    calls = message.tool_calls or ()
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


async def test_the_stream_helper_assembles_what_the_whole_reply_says(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script(REPLY))) as client:
        wish: Any = {"model": "fake", "messages": HELLO, "tools": TOOLS, "seed": 3}
        whole = await client.chat.completions.create(**wish)
        async with client.chat.completions.stream(
            **wish, stream_options={"include_usage": True}
        ) as stream:
            kinds = [event.type async for event in stream]
            assembled = await stream.get_final_completion()
    [told], [made] = whole.choices, assembled.choices
    weather = [("weather", {"city": "Zürich"}), ("weather", {"city": "Rome"})]
    assert calls_of(told.message) == calls_of(made.message) == weather
    assert told.message.content == made.message.content == "I look."
    assert told.finish_reason == made.finish_reason == "tool_calls"
    assert whole.model == "fake" and whole.system_fingerprint.startswith("cortex-")
    assert whole.usage is not None and assembled.usage == whole.usage
    assert kinds.count("tool_calls.function.arguments.done") == 2


async def test_greedy_answers_are_the_same_plain_and_streamed_and_again(make_config: MakeConfig):
    async with asked(make_config()) as client:
        wish: Any = {"model": "fake", "messages": HELLO, "seed": 5, "temperature": 0, "n": 2}
        wish |= {"logprobs": True, "top_logprobs": 1}
        whole = await client.chat.completions.create(**wish)
        again = await client.chat.completions.create(**wish)
        async with client.chat.completions.stream(**wish) as stream:
            assembled = await stream.get_final_completion()
    said = [
        [
            (c.index, c.message.content, c.finish_reason, len(c.logprobs.content or ()))
            for c in reply.choices
        ]
        for reply in (whole, again, assembled)
    ]
    assert said[0] == said[1] == said[2]
    assert all(num_tokens for *_, num_tokens in said[0])


async def test_a_forced_tool_is_called(make_config: MakeConfig, write_script: WriteScript):
    forced: Any = {"type": "function", "function": {"name": "weather"}}
    async with asked(make_config(fake_script=write_script(ONE))) as client:
        for choice in (forced, "required"):
            reply = await client.chat.completions.create(
                model="fake", messages=HELLO, tools=TOOLS, tool_choice=choice
            )
            assert reply.choices[0].finish_reason == "tool_calls"
            assert calls_of(reply.choices[0].message) == [("weather", {"city": "Zürich"})]
            assert reply.choices[0].message.content is None


async def test_results_of_parallel_calls_are_answered(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script(REPLY, "Warm and warmer."))) as client:
        create: Any = client.chat.completions.create
        first = (await create(model="fake", messages=HELLO, tools=TOOLS)).choices[0].message
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": "20 °C"}
            for call in reversed(first.tool_calls)
        ]
        turns = [*HELLO, first.model_dump(exclude_none=True), *results]
        second = await create(model="fake", messages=turns, tools=TOOLS)
    assert second.choices[0].message.content == "Warm and warmer."


async def test_a_parsed_answer_is_an_object(make_config: MakeConfig, write_script: WriteScript):
    async with asked(make_config(fake_script=write_script(ADA))) as client:
        reply = await client.chat.completions.parse(
            model="fake", messages=HELLO, response_format=Person
        )
        assert reply.choices[0].message.parsed == Person(name="Ada", age=36)
        answer = await client.responses.parse(model="fake", input="Who?", text_format=Person)
        assert answer.output_parsed == Person(name="Ada", age=36)


async def test_a_model_that_writes_nonsense_is_held_to_what_was_asked_for(make_config: MakeConfig):
    async with asked(make_config()) as client:
        wish: Any = {"model": "fake", "messages": HELLO}
        reply = await client.chat.completions.parse(**wish, response_format=Person)
        assert isinstance(reply.choices[0].message.parsed, Person)
        answer = await client.responses.parse(model="fake", input="Who?", text_format=Person)
        assert isinstance(answer.output_parsed, Person)
        async with client.chat.completions.stream(
            **wish, tools=TOOLS, tool_choice="required"
        ) as stream:
            forced = await stream.get_final_completion()
        calls = calls_of(forced.choices[0].message)
        assert calls and all(list(arguments) == ["city"] for _, arguments in calls)


async def test_pictures_are_seen_or_refused_with_a_suggestion(
    make_config: MakeConfig, make_models: Callable[..., Path], png_uri: str
):
    seen: Any = [{"type": "image_url", "image_url": {"url": png_uri, "detail": "low"}}]
    shown: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": png_uri}]}]
    async with asked(make_config(models_dirs=(make_models("blind", blind=True),))) as client:
        chat: Any = client.chat.completions.create
        reply = await chat(model="fake", messages=[{"role": "user", "content": seen}])
        assert reply.usage.prompt_tokens > 2
        assert (await client.responses.create(model="fake", input=shown)).output_text
        with pytest.raises(openai.BadRequestError) as refused:
            await chat(model="blind", messages=[{"role": "user", "content": seen}])
        assert refused.value.code == "vision_unsupported"
        assert isinstance(refused.value.body, dict)
        assert refused.value.body["model_id"] == "blind"
        assert refused.value.body["suggestion"] == "fake"


@pytest.mark.parametrize(
    ("kind", "code", "wish"),
    [
        (openai.NotFoundError, "model_not_found", {"model": "fack"}),
        (openai.BadRequestError, "invalid_request", {"messages": []}),
        (openai.BadRequestError, "invalid_request", {"temperature": 9}),
        (openai.BadRequestError, "context_length_exceeded", {"messages": "long"}),
        (openai.BadRequestError, "image_url_unsupported", {"messages": "far"}),
        (openai.BadRequestError, "unsupported_content", {"messages": "loud"}),
    ],
)
async def test_a_refusal_is_its_class_with_its_code(
    make_config: MakeConfig, kind: type[openai.APIStatusError], code: str, wish: Any
):
    far = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/a.png"}}
    loud = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    contents: dict[Any, Any] = {"long": "word " * 50_000, "far": [far], "loud": [loud]}
    if isinstance(wish.get("messages"), str):
        wish = {"messages": [{"role": "user", "content": contents[wish["messages"]]}]}
    async with asked(make_config()) as client:
        create: Any = client.chat.completions.create
        for stream in (False, True):
            with pytest.raises(kind) as refused:
                await create(**({"model": "fake", "messages": HELLO, "stream": stream} | wish))
            assert refused.value.code == code
            assert refused.value.request_id
            assert "did you mean fake?" in refused.value.message or code != "model_not_found"


async def test_a_body_over_the_limit_and_a_peer_that_is_full_are_told_apart(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(routing_asked, "_PATIENCE_S", 0.1)
    config = make_config(max_body_bytes=1000, max_live_requests=1, fake_token_interval_ms=50)
    async with asked(config) as client:
        create: Any = client.chat.completions.create
        long: Any = [{"role": "user", "content": "x" * 2000}]
        with pytest.raises(openai.APIStatusError) as refused:
            await create(model="fake", messages=long)
        assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")
        stream = await create(model="fake", messages=HELLO, stream=True)
        async with stream:
            await anext(aiter(stream))
            with pytest.raises(openai.InternalServerError) as full:
                await create(model="fake", messages=HELLO)
        assert (full.value.status_code, full.value.code) == (503, "overloaded")
        assert 1 <= int(full.value.response.headers["retry-after"]) <= 60


async def test_keys_and_their_limits_have_their_classes(make_config: MakeConfig):
    keys = (ApiKey("one", digest_of("right"), max_concurrent=1), ApiKey("two", digest_of("also")))
    config = make_config(keys=keys, fake_token_interval_ms=50)
    async with asked(config) as client:
        wish: Any = {"model": "fake", "messages": HELLO}
        with pytest.raises(openai.AuthenticationError) as unknown:
            await client.chat.completions.create(**wish)
        assert unknown.value.code == "invalid_api_key"
        known = client.with_options(api_key="right")
        async with await known.chat.completions.create(**wish, stream=True) as stream:
            await anext(aiter(stream))
            with pytest.raises(openai.RateLimitError) as over:
                await known.chat.completions.create(**wish)
            also = client.with_options(api_key="also")
            assert (await also.chat.completions.create(**wish, max_tokens=1)).choices
        assert over.value.code == "rate_limit_exceeded"
        assert 1 <= int(over.value.response.headers["retry-after"]) <= 60


async def test_a_client_that_tries_again_gets_its_answer_when_there_is_room(
    make_config: MakeConfig,
):
    config = make_config(max_live_requests=1, fake_token_interval_ms=20)
    async with asked(config, max_retries=9) as client:
        create: Any = client.chat.completions.create
        asking = [create(model="fake", messages=HELLO, max_tokens=10) for _ in range(2)]
        replies = await asyncio.gather(*asking)
    assert all(reply.choices[0].message.content for reply in replies)


async def test_an_answer_that_breaks_off_raises_in_every_stream(
    make_config: MakeConfig, write_harm: Callable[..., Path]
):
    harm = write_harm(how="kill", at=2, epochs=99, word="warm")
    async with asked(make_config(fake_script=harm)) as client:
        create: Any = client.chat.completions.create
        with pytest.raises(openai.APIError) as broken:
            async for _ in await create(model="fake", messages=HELLO, stream=True):
                pass
        assert broken.value.code == "attempts_exhausted"
        respond: Any = client.responses.create
        events = [e async for e in await respond(model="fake", input="warm?", stream=True)]
        assert events[-1].type == "response.failed"
        assert events[-1].response.error.message


async def test_responses_are_the_same_plain_and_streamed(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script(REPLY + PATCH))) as client:
        wish: Any = {"model": "fake", "input": "How warm is it?", "tools": OTHER_TOOLS}
        wish |= {"reasoning": {"summary": "auto"}}
        whole = await client.responses.create(**wish)
        async with client.responses.stream(**wish) as stream:
            kinds = [event.type async for event in stream]
            assembled = await stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert "response.custom_tool_call_input.delta" in kinds
    shapes = [[item.type for item in reply.output] for reply in (whole, assembled)]
    calls = ["function_call", "function_call", "custom_tool_call"]
    assert shapes == [["reasoning", "message", *calls]] * 2
    said = [
        (reply.output[0].summary[0].text, reply.output[4].input) for reply in (whole, assembled)
    ]
    assert said == [("I must look.", "+a")] * 2
    assert whole.output_text == assembled.output_text == "I look."
    called = [
        [json.loads(item.arguments) for item in reply.output if item.type == "function_call"]
        for reply in (whole, assembled)
    ]
    assert called == [[{"city": "Zürich"}, {"city": "Rome"}]] * 2
    assert whole.usage is not None and assembled.usage is not None
    assert whole.usage.output_tokens == assembled.usage.output_tokens


async def test_a_responses_conversation_goes_on_with_what_it_gave_back(
    make_config: MakeConfig, write_script: WriteScript
):
    async with asked(make_config(fake_script=write_script(REPLY + PATCH, "Warm."))) as client:
        create: Any = client.responses.create
        asked_for = [{"role": "user", "content": "How warm is it?"}]
        first = await create(model="fake", input=asked_for, tools=OTHER_TOOLS)
        results = [
            {"type": f"{item.type}_output", "call_id": item.call_id, "output": "20 °C"}
            for item in first.output
            if item.type.endswith("call")
        ]
        assert len(results) == 3
        turns = [*asked_for, *(item.model_dump() for item in first.output), *results]
        second = await create(model="fake", input=turns, tools=OTHER_TOOLS)
        assert second.output_text == "Warm."
        with pytest.raises(openai.BadRequestError) as refused:
            await create(model="fake", input="more", previous_response_id=first.id)
    assert (refused.value.code, refused.value.param) == (
        "unsupported_parameter",
        "previous_response_id",
    )


async def test_a_response_that_the_limit_cuts_off_is_incomplete(make_config: MakeConfig):
    async with asked(make_config()) as client:
        wish: Any = {"model": "fake", "input": "hello", "max_output_tokens": 16}
        reply = await client.responses.create(**wish)
        kinds = [event.type async for event in await client.responses.create(**wish, stream=True)]
    assert kinds[-1] == "response.incomplete"
    assert reply.status == "incomplete"
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    assert reply.output[-1].status == "incomplete"


async def test_completions_and_models_are_read(make_config: MakeConfig):
    async with asked(make_config()) as client:
        wish: Any = {"model": "fake", "prompt": ["a", "b"], "seed": 1, "max_tokens": 12}
        whole = await client.completions.create(**wish, logprobs=1)
        assert [len(choice.logprobs.tokens) for choice in whole.choices] == [12, 12]
        texts = ["", ""]
        async for piece in await client.completions.create(**wish, stream=True):
            for choice in piece.choices:
                texts[choice.index] += choice.text
        assert texts == [choice.text for choice in whole.choices]
        [model] = [model async for model in client.models.list()]
        assert (await client.models.retrieve("fake")).id == model.id == "fake"
        vectors = await client.embeddings.create(model="fake", input=["a", "b"])
        assert [entry.index for entry in vectors.data] == [0, 1]


@pytest.mark.parametrize("extra", [{}, {"return_token_ids": True}])
async def test_what_is_told_of_tokens_does_not_disturb_the_order(
    make_config: MakeConfig, write_script: WriteScript, extra: Any
):
    body = {"model": "fake", "messages": HELLO, "tools": TOOLS, "n": 2, "logprobs": True} | extra
    config = make_config(fake_script=write_script(REPLY))
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
        session.post("/v1/chat/completions", json=body | {"stream": True}) as response,
    ):
        reply = chat.read_stream(parse(await response.read()), num_choices=2)
    told = "".join(entry["token"] for entry in reply.choices[0].logprobs)
    assert reply.choices[0].content == "I look."
    assert told.strip() == "I look."
    assert len(reply.choices[1].calls) == 2
