"""Bodies of the Responses dialect: wishes, refusals, and what is said again."""

from __future__ import annotations

import inspect
import json
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.errors import (
    CortexError,
    InvalidRequest,
    TooManyImages,
)
from cortex.engine.frames import pack_value
from cortex.engine.stream import Accepted, Finished, Piece, Usage
from cortex.engine.types import ChatRequest, Grammar, ReasoningWish
from cortex.peer.dialects.asked import Answer, Arrival, Limits
from cortex.peer.dialects.responses.parse import parse_response
from cortex.peer.errors import UnsupportedParameter
from tests.peer.responses.bodies import (
    ARRIVAL,
    PIXEL,
    TOOLS,
    called,
    output,
    parse,
    refusal,
    said,
    told,
    user,
)


def test_a_text_is_a_question_with_clock_and_seed_from_outside():
    asked = parse()
    assert asked.request.messages == (user("hello"),)
    assert (asked.request.now_s, asked.request.seed, asked.request.model) == (7, 11, "m")
    response = told(asked)
    assert (response["id"], response["created_at"], asked.is_streamed) == ("resp_0f", 7, False)
    assert (asked.request.top_logprobs, asked.teller.tells_tokens) == (None, False)


def test_every_wish_is_carried():
    request = parse(
        temperature=0, top_p=0.5, frequency_penalty=-2, presence_penalty=2, seed=-2,
        max_output_tokens=5, parallel_tool_calls=False, stream=True,
    ).request  # fmt: skip
    wish = request.sampling
    assert (wish.temperature, wish.top_p) == (0, 0.5)
    assert (wish.frequency_penalty, wish.presence_penalty) == (-2, 2)
    assert (request.seed, request.max_tokens) == (2**63 - 2, 5)
    assert request.parallel_tool_calls is False
    assert parse(seed=-1).request.seed == parse().request.seed


def test_a_stream_is_streamed():
    assert parse(stream=True).is_streamed


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": [said("system")]}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [said("critic")]}, "input[0].role"),
        ({"input": [said("user", None)]}, "input[0].content"),
        ({"input": [said("user", [{"text": "hi"}])]}, "input[0].content[0].type"),
        ({"input": [said("user", 5)]}, "input[0].content"),
        ({"input": [called(name="")]}, "input[0].name"),
        ({"input": [called(arguments=5)]}, "input[0].arguments"),  # type: ignore[arg-type]
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"instructions": []}, "instructions"),
        ({"tools": {}}, "tools"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": 1}]}, "tools[0].parameters"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools"),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "custom"}]}]},
            "tools[0].tools[0].name",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": 5, "tools": TOOLS}, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}, "tools": TOOLS}, "tool_choice.type"),
        ({"tool_choice": {"type": "function", "name": "x"}, "tools": TOOLS}, "tool_choice"),
        ({"tool_choice": {"type": "function"}, "tools": TOOLS}, "tool_choice"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []},
             "tools": TOOLS},
            "tool_choice.tools",
        ),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"reasoning": {"effort": {}}}, "reasoning.effort"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_its_name(fields: dict[str, Any], param: str):
    error = refusal(**fields)
    assert isinstance(error, InvalidRequest)
    assert error.param == param
    assert error.message.startswith(param)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", {"id": "c"}),
        ("prompt", {"id": "p"}),
        ("background", True),
    ],
)
def test_what_would_need_a_store_is_refused(field: str, value: Any):
    error = refusal(**{field: value})
    assert (type(error), error.param) == (UnsupportedParameter, field)


def test_no_background_is_no_wish():
    parse(background=False)


def test_fields_without_effect_are_accepted_whatever_they_are():
    names = (
        "store client_metadata user safety_identifier service_tier truncation include metadata "
        "context_management max_tool_calls moderation stream_options prompt_cache_key tomorrow"
    )
    odd: dict[str, Any] = {key: [{"deep": [1, None]}] for key in names.split()}
    assert parse(**odd).request == parse().request


def test_null_reads_as_absent():
    names = (
        "stream instructions temperature top_p tools tool_choice text reasoning include metadata "
        "max_output_tokens parallel_tool_calls top_logprobs previous_response_id background"
    )
    nothing: dict[str, Any] = dict.fromkeys(names.split())
    assert parse(**nothing).request == parse().request
    assert told(parse(**nothing)) == told(parse())


@pytest.mark.parametrize(
    ("wanted", "grammar"),
    [
        ({"type": "text"}, None),
        (None, None),
        ({"type": "json_object"}, Grammar("json_object")),
        (
            {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "object"}},
            Grammar("json_schema", '{"type": "object"}', "text.format.schema"),
        ),
    ],
)
def test_a_form_of_the_answer_is_carried(wanted: Any, grammar: Grammar | None):
    asked = parse(text={"format": wanted, "verbosity": "low"})
    assert asked.request.grammar == grammar
    assert told(asked)["text"] == {"format": wanted or {"type": "text"}, "verbosity": "low"}


def test_wishes_about_reasoning_are_carried():
    asked = parse(reasoning={"effort": "high", "summary": "auto"})
    assert asked.request.reasoning == ReasoningWish(effort="high")
    assert asked.teller.manner.summarises
    assert told(asked)["reasoning"] == {"effort": "high", "summary": "auto"}
    assert parse(reasoning={"generate_summary": "concise"}).teller.manner.summarises
    assert not parse(reasoning={"effort": "low", "summary": None}).teller.manner.summarises
    heroic = parse(reasoning={"effort": "heroic"})
    assert heroic.request.reasoning == ReasoningWish()
    assert told(heroic)["reasoning"]["effort"] is None


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, None),
        ({"include": ["reasoning.encrypted_content"]}, None),
        ({"top_logprobs": 0}, None),
        ({"top_logprobs": 3}, 3),
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, 2),
    ],
)
def test_log_probabilities_are_asked_for_in_two_ways(fields: dict[str, Any], count: int | None):
    asked = parse(**fields)
    assert asked.request.top_logprobs == count
    assert asked.teller.tells_tokens == (count is not None)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, ""),
        ({"prompt_cache_key": "a", "user": "b"}, "a"),
        ({"metadata": {"user_id": '{"session_id": "s"}'}, "user": "b"}, "s"),
        ({"user": "b", "safety_identifier": "c"}, "b"),
        ({"safety_identifier": "c"}, "c"),
        ({"prompt_cache_key": 5, "metadata": 5}, ""),
    ],
)
def test_a_conversation_is_known_by_its_first_hint(fields: dict[str, Any], key: str):
    assert parse(**fields).request.routing_key == key


def test_a_header_is_a_better_hint_than_a_user():
    arrival = Arrival(7, 11, "0f", routing_key="h")
    assert parse(arrival=arrival, user="b").request.routing_key == "h"
    assert parse(arrival=arrival, prompt_cache_key="a").request.routing_key == "a"


@pytest.mark.parametrize(
    ("fields", "said_again"),
    [
        ({"metadata": {"a": "b" * 300_000}}, {"metadata": {}}),
        ({"instructions": "b" * 300_000}, {"instructions": None}),
        ({"tools": [{"type": "web_search", "x": "b" * 300_000}]}, {"tools": []}),
        (
            {"reasoning": {"summary": "b" * 300_000}},
            {"reasoning": {"effort": None, "summary": None}},
        ),
    ],
)
def test_what_is_longer_than_anybodys_is_not_said_again_with_every_keep_alive(
    fields: dict[str, Any], said_again: dict[str, Any]
):
    response = told(parse(**fields))
    assert {key: response[key] for key in said_again} == said_again


@pytest.mark.parametrize("field", ["metadata", "reasoning", "text"])
def test_what_could_be_read_can_be_said_again_wherever_that_is(field: str):
    """An answer is told far down a stack, and its body was read in a thread of its own."""
    deep: Any = "x"
    for _ in range(150):
        deep = [deep]
    inner = {"metadata": "a", "reasoning": "summary", "text": "verbosity"}[field]
    wish: dict[str, Any] = {field: {inner: deep}}
    teller = parse(**wish).teller
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 60)
    try:
        opening = teller.open(Accepted(1, (), 1))
        whole = teller.whole([Answer(Piece(()), Finished("stop", Usage(1, 1)))])
    finally:
        sys.setrecursionlimit(limit)
    assert b"[[[" in opening and b"[[[" in whole


def test_a_response_says_again_what_was_asked():
    asked = parse(
        instructions="Be brief.", tools=TOOLS, metadata={"a": "b"}, temperature=0, top_p=0.25,
        max_output_tokens=9, parallel_tool_calls=False, top_logprobs=2, store=True,
    )  # fmt: skip
    response = told(asked)
    assert response["tools"] == TOOLS
    assert (response["instructions"], response["metadata"]) == ("Be brief.", {"a": "b"})
    assert (response["temperature"], response["top_p"]) == (0, 0.25)
    assert (response["max_output_tokens"], response["top_logprobs"]) == (9, 2)
    assert (response["parallel_tool_calls"], response["store"]) == (False, False)


def test_what_is_said_again_stands_on_one_line():
    body = {"model": "m", "input": "x", "tools": TOOLS, "text": {"format": {"type": "text"}}}
    spaced = json.dumps(body, indent=1).replace("\n", "\r\n").encode()
    opening = parse_response(spaced, ARRIVAL).teller.open(Accepted(1, (), 1))
    assert re.fullmatch(rb"(event: [a-z_.]+\ndata: [^\r\n]+\n\n){2}", opening)


def test_limits_hold():
    few = Limits(max_images=1, max_messages=2, max_parts=2, max_tools=2)
    arrival = Arrival(7, 11, "0f", limits=few)
    picture = {"type": "input_image", "image_url": PIXEL}
    function = {"type": "function", "name": "h"}
    for fields in (
        {"input": [said("user")] * 3},
        {"input": [said("user", [{"type": "text"}] * 3)]},
        {"tools": [function] * 3},
        {"tools": [function, TOOLS[1] | {"tools": [function, TOOLS[0]]}]},
    ):
        with pytest.raises(InvalidRequest):
            parse(arrival=arrival, **fields)
    for shown in (said("user", [picture] * 2), output([picture, picture])):
        with pytest.raises(TooManyImages, match="input: holds 2 pictures, at most 1"):
            parse(arrival=arrival, input=[said("user"), shown])


def test_half_a_surrogate_pair_is_a_replacement_character():
    body = rb'{"model":"m","input":"\ud83d","tools":[{"type":"x","a":"\udc00"}]}'
    asked = parse_response(body, ARRIVAL)
    assert asked.request.messages == (user("�"),)
    assert told(asked)["tools"] == [{"type": "x", "a": "�"}]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{", b"\xff", b'{"model": "m", "input": "\xff"}',
        b'{"model": "m", "input": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "m", "input": "x", "tools": [{"type": "x", "a": "\xff"}]}',
        b'{"model": "m", "input": "x", "text": {"format": {"type": "text", "a": "\xff"}}}',
        b'{"model": "m", "input": ' + b"[" * 99999,
        b'{"model": "m", "input": ' + b"[" * 99999 + b"]" * 99999 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(body: bytes):
    with pytest.raises(InvalidRequest):
        parse_response(body, ARRIVAL)


any_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
names = ["type", "role", "content", "name", "call_id", "arguments", "output", "summary", "text",
         "image_url", "tools", "namespace", "input", "parameters", "action", "mode"]  # fmt: skip
words = st.sampled_from(
    ["message", "user", "assistant", "reasoning", "function_call", "function_call_output", "auto",
     "custom", "function", "namespace", "input_text", "input_image", "allowed_tools",
     "additional_tools", "local_shell_call", "local_shell_call_output", "agent_message"]
)  # fmt: skip
objects = st.dictionaries(st.sampled_from(names), words | any_json, max_size=5)
near_objects = st.dictionaries(
    st.sampled_from(names), words | any_json | st.lists(objects, max_size=3), max_size=5
)
near_bodies = st.fixed_dictionaries(
    {"model": st.just("m"), "input": st.text() | st.lists(near_objects | any_json, max_size=5)},
    optional={
        "tools": st.lists(near_objects, max_size=3) | any_json,
        "tool_choice": near_objects | words | any_json,
        "text": st.dictionaries(st.just("format"), near_objects) | any_json,
        "reasoning": any_json,
        "include": any_json,
        "metadata": any_json,
        "stream": st.booleans(),
    },
)


@given(near_bodies)
def test_any_body_is_read_or_refused_and_what_is_read_can_travel(body: dict[str, Any]):
    try:
        asked = parse_response(json.dumps(body).encode(), ARRIVAL)
    except CortexError as error:
        assert error.message
        return
    assert isinstance(asked.request, ChatRequest)
    pack_value(asked.request)
    assert told(asked)["object"] == "response"
