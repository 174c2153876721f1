"""The chat-completions dialect, inwards."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.errors import (
    CortexError,
    ImageUrlUnsupported,
    InvalidImage,
    InvalidRequest,
    TooManyImages,
    UnsupportedContent,
)
from cortex.engine.frames import pack_value, unpack_value
from cortex.engine.types import (
    MAX_PRIORITY,
    MIN_PRIORITY,
    ChatRequest,
    ImagePart,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from cortex.peer.dialects.asked import Arrival, Asked
from cortex.peer.dialects.chat.parse import parse_chat
from cortex.peer.dialects.chat.reply import ChatTeller
from cortex.peer.errors import UnsupportedParameter

ARRIVAL = Arrival(now_s=7, random_seed=11, id_hex="0f")
QUESTION = [{"role": "user", "content": "hello"}]

EMPTY: dict[str, Any] = {}


def parse(**fields: Any) -> Asked[ChatTeller]:
    body = {"model": "m", "messages": QUESTION} | fields
    return parse_chat(json.dumps(body).encode(), ARRIVAL)


def refusal(**fields: Any) -> CortexError:
    with pytest.raises(CortexError) as caught:
        parse(**fields)
    return caught.value


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def image(url: str) -> list[dict[str, Any]]:
    return user({"type": "image_url", "image_url": {"url": url, "detail": "low"}})


def function(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def test_plain_question_is_read_with_clock_and_seed_from_outside():
    parsed = parse()
    assert parsed.request.model == "m"
    assert parsed.request.messages[0].content == (TextPart("hello"),)
    assert (parsed.request.now_s, parsed.request.seed) == (7, 11)
    assert (parsed.is_streamed, parsed.teller.head.include_usage) == (False, False)


def test_null_means_absent_everywhere():
    names = ["stream", "stop", "temperature", "max_tokens", "tools", "n", "seed", "logprobs"]
    assert parse(**dict.fromkeys(names)).request == parse().request


def test_unknown_and_ignored_fields_change_nothing():
    ignored = {
        "user_made_up": {"deep": [1]}, "metadata": {"a": "b"}, "store": True, "verbosity": "low",
        "service_tier": "auto", "tool_choice": "auto", "tools": [], "parallel_tool_calls": True,
        "logit_bias": {}, "response_format": {"type": "text"}, "modalities": ["text"], "n": 1,
    }  # fmt: skip
    assert parse(**ignored).request == parse().request


def test_stream_options_count_only_with_stream():
    options = {"include_usage": True, "include_obfuscation": False}
    assert parse(stream=True, stream_options=options).teller.head.include_usage
    for without_effect in (options, 7, {"include_usage": "yes"}):
        assert not parse(stream_options=without_effect).teller.head.include_usage


@pytest.mark.parametrize("empty", ["", None, 3])
def test_reasoning_is_read_under_the_name_that_has_some(empty: object):
    turn = {"role": "assistant", "content": "a", "reasoning_content": empty, "reasoning": "hm"}
    [_, message] = parse(messages=[*QUESTION, turn]).request.messages
    assert message.reasoning == "hm"


def test_template_kwargs_keep_their_order():
    asked = {"z": 1, "enable_thinking": True, "a": "ü"}
    request = parse(chat_template_kwargs=asked).request
    assert list(json.loads(request.template_kwargs).items()) == list(asked.items())


def test_all_roles_and_part_forms_are_read():
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "developer", "content": "be brief"},
        *QUESTION,
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "function", "name": "g", "content": "43"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        *QUESTION,
    ]
    read = parse(messages=messages).request.messages
    assert [m.role for m in read] == [
        "system", "system", "user", "assistant", "tool", "tool", "assistant", "user",
    ]  # fmt: skip
    assert read[1].content == (TextPart("be brief"),)
    assert (read[3].reasoning, read[3].tool_calls) == ("hm", (ToolCall("c1", "f", '{"a": 1}'),))
    assert (read[4].tool_call_id, read[5].tool_call_id) == ("c1", "g")
    assert read[6].content == (TextPart("no"),)


def test_an_answer_that_the_client_begins_is_the_last_turn():
    asked = [*QUESTION, {"role": "assistant", "content": "It is"}]
    assert parse(messages=asked).request.messages[-1].content == (TextPart("It is"),)
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    asked = [*QUESTION, {"role": "assistant", "tool_calls": [call]}]
    assert len(parse(messages=asked).request.messages) == 2


def test_volatile_first_system_line_is_dropped():
    messages = [{"role": "system", "content": "x-anthropic-billing-header: 7"}, *QUESTION]
    assert parse(messages=messages).request.messages == parse().request.messages


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64,aGk=",
        "DATA:IMAGE/PNG;charset=x;BASE64,aGk=",
        " data:;base64,aG\nk",
        "data:image/png;base64,aGk%3D",
    ],
)
def test_data_uris_of_any_spelling_are_taken(uri: str):
    assert parse(messages=image(uri)).request.messages[0].content == (ImagePart(b"hi"),)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/a.png", "HTTPS://x", "file:///etc/passwd", "ftp://x", "a.png", ""]
)
def test_any_other_address_is_refused(url: str):
    error = refusal(messages=image(url))
    assert isinstance(error, ImageUrlUnsupported)
    assert error.param == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize("uri", ["data:image/png;base64,????", "data:,hi", "data:;base64,"])
def test_data_that_is_no_base64_is_an_invalid_image(uri: str):
    assert isinstance(refusal(messages=image(uri)), InvalidImage)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": user({"type": "image_url"})}, "messages[0].content[0].image_url"),
        ({"messages": user({})}, "messages[0].content[0].type"),
        ({"messages": user({"type": "text", "text": 5})}, "messages[0].content[0].text"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": "1"}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"seed": 2**64}, "seed"),
        ({"stop": 5}, "stop"),
        ({"stop": [None]}, "stop[0]"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"n": 33}, "n"),
        ({"logprobs": 1}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"9" * 5000: 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logit_bias": {str(i): 1 for i in range(1025)}}, "logit_bias"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"priority": MIN_PRIORITY - 1}, "priority"),
        ({"priority": MAX_PRIORITY + 1}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": 5}, "tools"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"type": "flying"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [function("")]}, "tools[0].function.name"),
        ({"tools": [function("a>b")]}, "tools[0].function.name"),
        ({"tools": [function("f", parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [function("f")] * 1025}, "tools"),
        ({"tools": [function("f")], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [function("f")], "tool_choice": 5}, "tool_choice"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"reasoning_effort": 5}, "reasoning_effort"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
    ],
)
def test_wrong_field_is_refused_by_name(fields: dict[str, Any], param: str):
    error = refusal(**fields)
    assert isinstance(error, InvalidRequest)
    assert error.param == param


def test_tools_are_offered_as_they_were_sent():
    parameters = {"type": "object", "properties": {"b": {}, "a": {"$ref": "#/$defs/x"}}}
    tools = [
        function("look-up.v2", description="Looks up", parameters=parameters, strict=True),
        function("f", description=None),
    ]
    request = parse(tools=tools, tool_choice="auto").request
    assert request.tools == (
        Tool("look-up.v2", "Looks up", json.dumps(parameters), is_strict=True),
        Tool("f"),
    )
    assert request.parallel_tool_calls


def test_a_client_may_want_one_call_at_a_time():
    asked = parse(tools=[function("f")], parallel_tool_calls=False)
    assert not asked.request.parallel_tool_calls


def test_a_priority_is_taken_as_it_was_sent():
    assert parse(priority=7).request.priority == 7


def test_a_model_that_may_not_call_is_not_told_of_tools():
    request = parse(tools=[function("f")], tool_choice="none").request
    assert (request.tools, request.tool_choice) == ((), ToolChoice("none"))


@pytest.mark.parametrize(
    ("wish", "ours"),
    [
        ({"guided_json": {}}, "json"),
        ({"guided_regex": "a"}, "regex"),
        ({"guided_choice": ["a"]}, "choice"),
        ({"guided_grammar": "root ::= a"}, "grammar, written in Lark"),
        ({"json_schema": "{}"}, "json"),
        ({"regex": "a"}, "regex"),
        ({"ebnf": "root ::= a"}, "grammar, written in Lark"),
        ({"grammar": "root ::= a"}, "grammar, written in Lark"),
    ],
)
def test_other_servers_names_of_structured_outputs_are_refused_with_ours(
    wish: dict[str, Any], ours: str
):
    with pytest.raises(UnsupportedParameter) as refused:
        parse(**wish)
    assert (refused.value.param, refused.value.hint) == (*wish, f"send structured_outputs.{ours}")
    assert parse(**dict.fromkeys(wish)).request.grammar is None


def test_the_old_spelling_of_tools_is_refused_as_unsupported():
    error = refusal(functions=[{"name": "f"}])
    assert isinstance(error, UnsupportedParameter)
    assert error.param == "functions"


ALLOWED = {"mode": "auto", "tools": [function("f")]}


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ("required", ToolChoice("required")),
        (function("f"), ToolChoice("required", ("f",))),
        ({"type": "allowed_tools", "allowed_tools": ALLOWED}, ToolChoice("auto", ("f",))),
    ],
)
def test_a_choice_of_tools_is_read(choice: Any, read: ToolChoice):
    request = parse(tools=[function("f"), function("g")], tool_choice=choice).request
    assert request.tool_choice == read
    assert len(request.tools) == 2


@pytest.mark.parametrize(
    "choice",
    [
        function("h"),
        {"type": "function"},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [EMPTY]}},
    ],
)
def test_a_choice_of_what_is_not_there_is_refused(choice: Any):
    error = refusal(tools=[function("f")], tool_choice=choice)
    assert (error.param or "").startswith("tool_choice")


def test_a_custom_tool_takes_one_string():
    custom = {"type": "custom", "custom": {"name": "patch", "description": "Patches"}}
    asked = parse(tools=[custom])
    [tool] = asked.request.tools
    assert (tool.name, tool.description, tool.is_strict) == ("patch", "Patches", True)
    assert list(json.loads(tool.parameters)["properties"]) == ["input"]
    assert asked.teller.head.custom_names == {"patch"}


SCHEMA = {"type": "object", "properties": {"b": {}, "a": {"$ref": "#/$defs/x"}}}


@pytest.mark.parametrize(
    ("fields", "kind", "source"),
    [
        ({"response_format": {"type": "json_object"}}, "json_object", ""),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
            "json_schema",
            json.dumps(SCHEMA),
        ),
        (
            {"response_format": {"type": "json_object", "schema": SCHEMA}},
            "json_schema",
            json.dumps(SCHEMA),
        ),
        ({"response_format": {"type": "json_object", "schema": None}}, "json_object", ""),
        ({"structured_outputs": {"json": SCHEMA}}, "json_schema", json.dumps(SCHEMA)),
        ({"structured_outputs": {"regex": "a+"}}, "regex", "a+"),
        ({"structured_outputs": {"choice": ["a", "ü"]}}, "choice", '["a","ü"]'),
        ({"structured_outputs": {"grammar": "start: A"}}, "lark", "start: A"),
    ],
)
def test_the_form_of_an_answer_is_read(fields: dict[str, Any], kind: Any, source: str):
    read = parse(**fields).request.grammar
    assert read is not None
    assert (read.kind, read.source) == (kind, source)
    assert read.param.partition(".")[0] in fields


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}},
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "json_object", "schema": 5}}, "response_format.schema"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        (
            {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
            "structured_outputs",
        ),
    ],
)
def test_a_form_that_is_none_is_refused_by_name(fields: dict[str, Any], param: str):
    assert refusal(**fields).param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x"}},
        {"messages": user({"type": "input_audio", "input_audio": {}})},
        {"messages": user({"type": "file", "file": {}})},
    ],
)
def test_sound_and_files_are_refused_as_content(fields: dict[str, Any]):
    assert isinstance(refusal(**fields), UnsupportedContent)


def test_a_crowd_of_pictures_is_refused():
    part = {"type": "image_url", "image_url": "data:;base64,aGk="}
    assert isinstance(refusal(messages=user(*[part] * 101)), TooManyImages)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"model": NaN}', b"[" * 100_000,
        b'{"a":' * 100_000, b'{"seed": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_body_that_is_no_json_object_is_an_invalid_request(body: bytes):
    with pytest.raises(InvalidRequest):
        parse_chat(body, ARRIVAL)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (QUESTION * 4097, "messages"),
        (user(*[{"type": "text", "text": "a"}] * 4097), "messages[0].content"),
        ([{"role": "assistant", "tool_calls": [EMPTY] * 4097}], "messages[0].tool_calls"),
    ],
)
def test_more_items_than_anybody_means_are_refused_by_name(messages: Any, param: str):
    error = refusal(messages=messages)
    assert isinstance(error, InvalidRequest)
    assert error.param == param
    assert "holds 4097 items, at most 4096" in error.message


def test_as_many_messages_as_are_taken_are_taken():
    assert len(parse(messages=QUESTION * 4096).request.messages) == 4096


@given(st.text(alphabet=st.sampled_from(list('\ud83d\ude00\ud800\udc00\\u"/ndé8')), max_size=12))
def test_halves_of_pairs_are_replaced_and_nothing_else_is(text: str):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    request = parse_chat(body.encode(), ARRIVAL).request
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert request.messages[0].content == (TextPart(whole),)


def test_halves_of_pairs_in_a_call_s_arguments_are_replaced_too():
    call = {"id": "c", "function": {"name": "f", "arguments": r'{"a": "\ud800\ud83d\ude00"}'}}
    [_, turn] = parse(
        messages=[*QUESTION, {"role": "assistant", "tool_calls": [call]}]
    ).request.messages
    assert turn.tool_calls[0].arguments == r'{"a": "\ufffd\ud83d\ude00"}'


@pytest.mark.parametrize("cut", ['{"a": bro', "not JSON", "[1]"])
def test_a_broken_call_of_an_earlier_answer_does_not_end_the_conversation(cut: str):
    call = {"id": "c", "function": {"name": "f", "arguments": cut}}
    [_, turn] = parse(
        messages=[*QUESTION, {"role": "assistant", "tool_calls": [call]}]
    ).request.messages
    assert json.loads(turn.tool_calls[0].arguments) == {"arguments": cut}


def test_the_old_spelling_of_an_earlier_call_is_read_with_its_result():
    old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    result = {"role": "function", "name": "f", "content": "3"}
    [_, turn, told] = parse(messages=[*QUESTION, old, result]).request.messages
    assert turn.tool_calls == (ToolCall("f", "f", "{}"),)
    assert told.tool_call_id == "f"


def test_what_is_wrong_with_a_huge_value_is_said_at_once_and_in_few_words():
    began_s = time.monotonic()
    allowed: dict[str, Any] = {"mode": "x - at `$.model`" * 1_000_000, "tools": []}
    error = refusal(tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert error.param == "tool_choice.allowed_tools.mode"
    assert len(error.message) < 200
    assert time.monotonic() - began_s < 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "m" * 257}, "model: must be at most 256 characters long"),
        ({"model": ""}, "model: must not be empty"),
        ({"seed": 2**63}, "seed: must be at most 9223372036854775807"),
        ({"top_p": 2}, "top_p: must be at most 1"),
        ({"max_tokens": "4"}, "max_tokens: must be a whole number"),
    ],
)
def test_what_is_out_of_bounds_is_told_in_plain_words(fields: dict[str, Any], words: str):
    assert refusal(**fields).message == words


def test_a_number_that_no_computer_holds_is_out_of_range():
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":1e999}'
    with pytest.raises(InvalidRequest, match="temperature: is a number out of range"):
        parse_chat(body, ARRIVAL)


def test_a_tool_that_is_named_again_and_again_may_be_called_like_any_other():
    named = {"type": "function", "function": {"name": "f"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named] * 9}}
    assert parse(tools=[function("f")], tool_choice=allowed).request.tool_choice == ToolChoice(
        "auto", ("f",)
    )


def test_half_a_pair_in_the_bytes_themselves_is_no_utf_8():
    body = json.dumps({"model": "\ud800", "messages": QUESTION}, ensure_ascii=False)
    with pytest.raises(InvalidRequest, match="not JSON"):
        parse_chat(body.encode("utf-8", "surrogatepass"), ARRIVAL)


def test_half_a_surrogate_pair_becomes_a_replacement_character():
    body = b'{"model":"m\\ud800","messages":[{"role":"user","content":"a\\udc00\\ud83d\\ude00"}]}'
    request = parse_chat(body, ARRIVAL).request
    assert request.messages[0].content == (TextPart("a\N{REPLACEMENT CHARACTER}😀"),)
    pack_value(request)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(
    """model messages stream stream_options max_tokens max_completion_tokens temperature top_p
    logit_bias ignore_eos stop_token_ids include_stop_str_in_output bad_words
    min_tokens return_token_ids priority
    top_k min_p seed stop n logprobs top_logprobs tools tool_choice functions function_call audio
    modalities response_format structured_outputs reasoning_effort chat_template_kwargs
    user prompt_cache_key metadata
    """.split()  # noqa: SIM905 - one word a name reads better than thirty quoted ones
)
PART_NAMES = st.sampled_from(["type", "text", "image_url", "refusal", "url"])
KINDS = st.sampled_from(
    ["text", "image_url", "refusal", "file", "data:;base64,aGk=", "user", "tool"]
)
PARTS = st.dictionaries(PART_NAMES, JSON | KINDS)
MESSAGES = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "reasoning_content"]),
        JSON | KINDS | st.lists(PARTS, max_size=3),
    ),
    max_size=3,
)


@given(st.dictionaries(NAMES, JSON | MESSAGES | st.text()), st.booleans())
def test_fuzzed_bodies_raise_nothing_but_our_errors(body: dict[str, Any], is_whole: bool):
    if is_whole:
        body = {"model": "m", "messages": QUESTION} | body
    try:
        parsed = parse_chat(json.dumps(body).encode(), ARRIVAL)
    except CortexError as error:
        assert error.message
        return
    # What is accepted can be sent to a child and to another peer, and is the same there.
    assert unpack_value(ChatRequest, pack_value(parsed.request)) == parsed.request


@given(st.binary(max_size=200))
def test_fuzzed_bytes_raise_nothing_but_our_errors(body: bytes):
    with pytest.raises(CortexError):
        parse_chat(body, ARRIVAL)
