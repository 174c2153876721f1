"""The messages dialect, inwards: bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.errors import CortexError
from cortex.engine.types import ReasoningWish, SamplingWish, ToolChoice
from cortex.peer.dialects.asked import Arrival, Asked
from cortex.peer.dialects.messages.parse import parse_count, parse_message
from cortex.peer.dialects.messages.reply import MessageTeller

CLIENTS = Path(__file__).parents[4] / "shared" / "clients"
ARRIVAL = Arrival(now_s=7, random_seed=11, id_hex="ab", routing_key="")
Fields = dict[str, Any]
NOTHING: Fields = {}
TOOLS: list[Fields] = [
    {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "b": 1, "a": 2}},
    {"name": "find", "input_schema": {"properties": {}}},
]


def parse(**fields: Any) -> Asked[MessageTeller]:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return parse_message(json.dumps(body | fields).encode(), ARRIVAL)


def refusal(**fields: Any) -> CortexError:
    with pytest.raises(CortexError) as caught:
        parse(**fields)
    return caught.value


def test_a_plain_question_is_read_with_clock_seed_and_id_from_outside():
    asked = parse()
    assert (asked.request.model, asked.request.seed, asked.request.now_s) == ("m", 11, 7)
    assert (asked.request.max_tokens, asked.is_streamed) == (9, False)
    assert asked.teller.head.id == "msg_ab"
    assert parse(stream=True).is_streamed


@pytest.mark.parametrize(
    "fields",
    [
        {"anything": [1]},
        {"service_tier": "auto", "container": None, "mcp_servers": [], "speed": "fast"},
        {"context_management": {"edits": [{"type": "clear"}]}, "inference_geo": "eu"},
        {"system": None, "tools": None, "thinking": None, "output_config": None, "metadata": 3},
        {"tools": [], "tool_choice": {"type": "auto"}, "stop_sequences": [], "top_k": -1},
        {"cache_control": {"type": "ephemeral"}, "diagnostics": {}, "betas": ["x"]},
    ],
)
def test_what_has_no_bearing_on_the_answer_is_ignored(fields: Fields):
    asked, plain = parse(**fields), parse()
    assert asked.request.messages == plain.request.messages
    assert asked.request.tools == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"stop_sequences": ["x", " \n"]}, "stop_sequences[1]"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stream": "yes"}, "stream"),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": -5}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": 3}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema", "schema": []}}, "output_format.schema"),
        ({"tools": [{"input_schema": NOTHING}]}, "tools[0].name"),
        ({"tools": [{"name": "a b", "input_schema": NOTHING}]}, "tools[0].name"),
        ({"tools": [{"name": "a"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "a", "input_schema": 3}]}, "tools[0].input_schema"),
        ({"tools": TOOLS, "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": "auto"}, "tool_choice"),
    ],
)
def test_a_wrong_field_is_named(fields: Fields, param: str):
    error = refusal(**fields)
    assert error.param == param
    assert param in error.message


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"a"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes):
    for read in (parse_message, parse_count):
        with pytest.raises(CortexError):
            read(body, ARRIVAL)


def test_the_sampler_is_asked_what_the_client_asked():
    asked = parse(temperature=0, top_p=0.5, top_k=-1, stop_sequences=["a", "b"])
    assert asked.request.sampling == SamplingWish(temperature=0, top_k=0, top_p=0.5)
    assert asked.request.stop == ("a", "b")


def test_a_budget_may_be_anything_a_client_makes_of_it():
    assert parse(max_tokens=0).request.max_tokens == 0
    assert parse(max_tokens=64000.0).request.max_tokens == 64000
    assert parse(max_tokens=10**30).request.max_tokens == 2**31 - 1


@pytest.mark.parametrize(
    ("fields", "wish"),
    [
        ({}, ReasoningWish()),
        ({"thinking": {"type": "disabled"}}, ReasoningWish(thinks=False)),
        ({"thinking": {"type": "adaptive"}}, ReasoningWish()),
        ({"thinking": {"type": "between_tools", "x": 1}}, ReasoningWish()),
        ({"thinking": {"type": "enabled"}}, ReasoningWish(thinks=True)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1}, "max_tokens": 1},
            ReasoningWish(thinks=True, budget_tokens=1),
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            ReasoningWish("high"),
        ),
        ({"output_config": {"effort": "ultra"}}, ReasoningWish()),
    ],
)
def test_how_much_the_model_thinks(fields: Fields, wish: ReasoningWish):
    assert parse(**fields).request.reasoning == wish


def test_thinking_may_be_asked_for_without_its_text():
    for display, is_hidden in (("omitted", True), ("summarized", False)):
        asked = parse(thinking={"type": "adaptive", "display": display})
        assert asked.teller.head.hides_thinking == is_hidden


@pytest.mark.parametrize("under", ["output_config", "output_format"])
def test_an_answer_may_have_to_obey_a_schema(under: str):
    wanted = {"type": "json_schema", "schema": {"type": "object", "b": 1, "a": 2}}
    fields = {under: {"format": wanted} if under == "output_config" else wanted}
    source = '{"type": "object", "b": 1, "a": 2}'
    read = parse(**fields).request.grammar
    assert read is not None
    assert (read.kind, read.source) == ("json_schema", source)
    assert read.param.partition(".")[0] in fields


def test_tools_are_offered_in_their_order_with_their_schemas_as_sent():
    look, find = parse(tools=TOOLS).request.tools
    assert (look.name, look.description) == ("look", "Looks.")
    assert look.parameters == '{"type": "object", "b": 1, "a": 2}'
    assert list(json.loads(find.parameters).items()) == [("type", "object"), ("properties", {})]


def test_tools_that_a_server_would_run_are_not_offered():
    served = [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"type": "mcp_toolset", "mcp_server_name": "x"},
        {"type": "bash_20250124", "name": "bash"},
    ]
    assert [tool.name for tool in parse(tools=[*served, *TOOLS]).request.tools] == ["look", "find"]
    assert parse(tools=served).request.tools == ()


@pytest.mark.parametrize(
    ("wish", "choice"),
    [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "tool", "name": "find"}, ToolChoice("required", ("find",))),
    ],
)
def test_which_tool_may_or_must_be_called(wish: Fields, choice: ToolChoice):
    request = parse(tools=TOOLS, tool_choice=wish).request
    assert (request.tool_choice, request.parallel_tool_calls) == (choice, True)
    request = parse(tools=TOOLS, tool_choice=wish | {"disable_parallel_tool_use": True}).request
    assert (request.tool_choice, request.parallel_tool_calls) == (choice, False)


def test_who_may_call_nothing_is_offered_nothing():
    request = parse(tools=TOOLS, tool_choice={"type": "none"}).request
    assert (request.tools, request.tool_choice) == ((), ToolChoice("none"))
    assert parse(tool_choice={"type": "none"}).request.tool_choice == ToolChoice()


def test_the_conversation_is_known_by_its_headers_or_by_the_session_of_its_user():
    def key(metadata: Any, header: str = "") -> str:
        arrival = Arrival(7, 11, "ab", header)
        body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
        text = json.dumps(body | {"metadata": metadata}).encode()
        return parse_message(text, arrival).request.routing_key

    assert key({"user_id": '{"device_id": "d", "session_id": "s"}'}) == "s"
    assert key({"user_id": "u"}) == "u"
    assert key({"user_id": "u"}, "h") == "h"
    assert key(None) == key({"user_id": 3}) == key([1]) == ""


def test_a_count_reads_the_same_prompt():
    prompt: Fields = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "system": "s",
        "tools": TOOLS,
        "thinking": {"type": "disabled"},
    }
    counted = parse_count(json.dumps(prompt).encode(), ARRIVAL)
    asked = parse(**prompt).request
    for name in ("model", "messages", "tools", "tool_choice", "reasoning", "grammar"):
        assert getattr(counted, name) == getattr(asked, name)


def captured() -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = []
    for file in sorted(CLIENTS.glob("*.json")):
        capture = json.loads(file.read_text())
        requests = capture.get("requests") or [capture["request"]]
        found += [(file.stem, r["path"], r["body"]) for r in requests if "/messages" in r["path"]]
    return found


@pytest.mark.skipif(not CLIENTS.is_dir(), reason="no captured requests here")
def test_what_clients_sent_is_read():
    requests = captured()
    assert requests
    for name, path, body in requests:
        read = parse_count if "count_tokens" in path else parse_message
        try:
            read(json.dumps(body).encode(), ARRIVAL)
        except CortexError as error:
            pytest.fail(f"{name}: {error.message}")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "content", "role", "source", "id", "name", "input", "tool_use_id"]
            ),
            inner
            | st.sampled_from(
                ["text", "image", "tool_use", "tool_result", "user", "base64", "url", "thinking"]
            ),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from([*TOOLS[0], "messages", "system", "tools", "tool_choice", "thinking",
                         "output_config", "metadata", "stop_sequences"]),
        JSON_VALUES,
        max_size=5,
    ),
    st.lists(JSON_VALUES, min_size=1, max_size=3),
)  # fmt: skip
def test_any_body_is_read_or_refused_by_name(fields: Fields, content: list[Any]):
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": content}]
    body = {"model": "m", "max_tokens": 9, "messages": messages} | fields
    try:
        parse_message(json.dumps(body).encode(), ARRIVAL)
    except CortexError as error:
        assert error.message
