"""Bodies that no client would send: never a fault of ours, always the dialect's own envelope.

Each begins as a request that uses everything its dialect knows; then parts of it, at any depth, are
replaced, taken out or doubled. What is still answered is read as strictly as any reply. A quick
variant runs always; the slow one looks longer.
"""

from __future__ import annotations

import copy
import http.client
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.peer.config import Locations, PeerConfig
from tests.strict import chat, completions, messages, responses
from tests.strict.sse import Json, check_messages_error, check_openai_error, parse

Serve = Callable[[PeerConfig], str]
_TIMEOUT_S = 60
_QUICK_EXAMPLES, _LONG_EXAMPLES = 50, 1500
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
_SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

BODIES: dict[str, list[Json]] = {
    "/v1/chat/completions": [
        {
            "model": "fake",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "hello"},
                        {
                            "type": "image_url",
                            "image_url": {
                                "url": f"data:image/png;base64,{_PNG}",
                                "detail": "low",
                            },
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "so",
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a": 1}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "2"},
                {"role": "developer", "content": "Be briefer."},
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": "d",
                        "parameters": _SCHEMA,
                        "strict": False,
                    },
                }
            ],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
            "max_tokens": 3,
            "max_completion_tokens": 3,
            "temperature": 0.5,
            "top_p": 0.5,
            "top_k": 3,
            "min_p": 0.1,
            "seed": 1,
            "stop": ["x"],
            "n": 2,
            "logprobs": True,
            "top_logprobs": 2,
            "logit_bias": {"40": 1},
            "frequency_penalty": 0.1,
            "presence_penalty": 0.1,
            "repetition_penalty": 1.1,
            "response_format": {"type": "text"},
            "reasoning_effort": "low",
            "stream_options": {"include_usage": False},
            "chat_template_kwargs": {"enable_thinking": False},
            "metadata": {"user_id": "u"},
            "prompt_cache_key": "k",
            "user": "u",
        }
    ],
    "/v1/completions": [
        {
            "model": "fake",
            "prompt": ["hello<|im_end|>", "you"],
            "max_tokens": 3,
            "temperature": 0.5,
            "top_p": 0.5,
            "n": 1,
            "best_of": 1,
            "stop": "x",
            "seed": 1,
            "logprobs": 2,
            "echo": False,
            "suffix": None,
            "logit_bias": {},
            "frequency_penalty": 0.1,
            "presence_penalty": 0.1,
            "stream_options": None,
            "response_format": {"type": "text"},
            "structured_outputs": {"choice": ["a", "b"]},
            "user": "u",
        },
        {"model": "fake", "prompt": [[1, 2], [3]], "max_tokens": 2},
    ],
    "/v1/embeddings": [
        {"model": "fake", "input": ["a", "b"], "encoding_format": "float", "dimensions": 4},
        {"model": "fake", "input": [[1, 2], [3]], "encoding_format": "base64", "user": "u"},
    ],
    "/v1/responses": [
        {
            "model": "fake",
            "instructions": "Be brief.",
            "input": [
                {"role": "developer", "content": "Be briefer."},
                {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "hello"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}"},
                    ],
                },
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "so"}],
                    "content": [{"type": "reasoning_text", "text": "so"}],
                    "encrypted_content": None,
                },
                {
                    "type": "function_call",
                    "call_id": "call_1",
                    "name": "f",
                    "namespace": "ns",
                    "arguments": "{}",
                },
                {"type": "function_call_output", "call_id": "call_1", "output": "2"},
                {"type": "custom_tool_call", "call_id": "call_2", "name": "g", "input": "x"},
                {"type": "custom_tool_call_output", "call_id": "call_2", "output": "y"},
            ],
            "tools": [
                {"type": "function", "name": "f", "parameters": _SCHEMA, "strict": False},
                {
                    "type": "namespace",
                    "name": "ns",
                    "tools": [{"type": "function", "name": "f", "parameters": {}}],
                },
                {"type": "custom", "name": "g", "format": {"type": "text"}},
                {"type": "web_search"},
            ],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "max_output_tokens": 16,
            "temperature": 0.5,
            "top_p": 0.5,
            "top_logprobs": 0,
            "text": {"format": {"type": "text"}, "verbosity": "low"},
            "reasoning": {"effort": "low", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "metadata": {"a": "b"},
            "store": False,
            "truncation": "disabled",
            "prompt_cache_key": "k",
        }
    ],
    "/v1/messages": [
        {
            "model": "fake",
            "max_tokens": 3,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "x"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "hello"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": _PNG},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "so", "signature": "s"},
                        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_1",
                            "content": [{"type": "text", "text": "2"}],
                            "is_error": False,
                        },
                        {
                            "type": "document",
                            "title": "t",
                            "source": {"type": "text", "media_type": "text/plain", "data": "d"},
                        },
                    ],
                },
                {"role": "system", "content": "Be briefer."},
            ],
            "tools": [{"name": "f", "description": "d", "input_schema": _SCHEMA}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "output_config": {"effort": "low"},
            "temperature": 0.5,
            "top_p": 0.5,
            "top_k": 3,
            "stop_sequences": ["x"],
            "metadata": {"user_id": '{"session_id": "s"}'},
        }
    ],
}
_WIDE: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"leaf": {"type": ["string", "null"], "maxLength": 3, "pattern": "^[a-z]*$"}},
    "type": "object",
    "properties": {
        "a": {"$ref": "#/$defs/leaf"},
        "b": {"anyOf": [{"type": "integer", "minimum": -3, "maximum": 3}, {"enum": [1, "x"]}]},
        "c": {"type": "array", "items": {"const": 1}, "maxItems": 2},
    },
    "required": ["a", "b"],
    "additionalProperties": False,
}
_STRICT: Json = {"name": "f", "parameters": _WIDE, "strict": True}
_ASKING: Json = {"role": "user", "content": "hello"}
BODIES["/v1/chat/completions"] += [
    {
        "model": "fake",
        "messages": [_ASKING],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": _WIDE, "strict": True},
        },
    },
    {
        "model": "fake",
        "messages": [_ASKING],
        "tools": [{"type": "function", "function": _STRICT}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    },
    {"model": "fake", "messages": [_ASKING], "response_format": {"type": "json_object"}},
]
BODIES["/v1/responses"] += [
    {
        "model": "fake",
        "input": "hello",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": _WIDE}},
    },
    {
        "model": "fake",
        "input": "hello",
        "tools": [{"type": "function", **_STRICT}],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "f"}],
        },
    },
]
BODIES["/v1/messages"] += [
    {
        "model": "fake",
        "messages": [_ASKING],
        "max_tokens": 200,
        "output_config": {"format": {"type": "json_schema", "schema": _WIDE}},
    },
    {
        "model": "fake",
        "messages": [_ASKING],
        "max_tokens": 200,
        "tools": [{"name": "f", "input_schema": _WIDE, "strict": True}],
        "tool_choice": {"type": "tool", "name": "f"},
    },
]
BODIES["/v1/messages/count_tokens"] = BODIES["/v1/messages"]


def _template_words() -> Json:
    """A new one each time: what was drawn is spoilt further."""
    return {"enable_thinking": "no", "add_generation_prompt": None, "bos_token": [1], "": {}}


_JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        [
            *("user", "system", "assistant", "tool", "function", "text", "image", "auto", "none"),
            *("required", "json_schema", "json_object", "x" * 70_000, "data:;base64,!!!!"),
            *("http://127.0.0.1:1/a.png", "file:///etc/passwd", "\ud800", "\x00", "<|im_end|>"),
        ]
    )
    | st.builds(_template_words),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything in it stands."""
    found: list[tuple[Any, ...]] = []
    names: Any = cast(Json, value) if isinstance(value, dict) else range(len(value))
    for name in names:
        part: Any = cast(Any, value)[name]
        found.append((*here, name))
        if isinstance(part, dict | list):
            found += places(cast(Any, part), (*here, name))
    return found


@st.composite
def spoilt(draw: st.DrawFn, path: str) -> Json:
    """A body with one to three things wrong with it, or with none that matters."""
    body: Json = copy.deepcopy(draw(st.sampled_from(BODIES[path])))
    body["stream"] = draw(st.booleans())
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(body)))
        holder: Any = body
        for name in place[:-1]:
            holder = holder[name]
        match draw(st.sampled_from(["replace", "replace", "remove", "swap", "double"])):
            case "replace":
                holder[place[-1]] = draw(_JUNK)
            case "remove":
                del holder[place[-1]]
            case "swap":
                other = draw(st.sampled_from(places(body)))
                holder[place[-1]] = copy.deepcopy(_at(body, other))
            case _:
                _double(holder, place[-1])
        if not places(body):
            break
    return body


def _double(holder: Any, name: Any) -> None:
    part = copy.deepcopy(holder[name])
    if isinstance(holder, dict):
        holder[f"{name}, of no dialect"] = part
    else:
        holder.insert(name, part)


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for name in place:
        value = value[name]
    return value


@pytest.fixture(scope="module")
def address(serve_peer: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("fuzzed")
    config = PeerConfig(
        Locations(root / "data", root / "state", root / "run"), engine="fake", port=0
    )
    return serve_peer(config)


def post(address: str, path: str, data: bytes) -> tuple[int, str, bytes]:
    """Status, content type and body."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
    try:
        connection.request("POST", path, data, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.headers["content-type"], response.read()
    finally:
        connection.close()


def check_refusal(path: str, status: int, answer: bytes) -> None:
    assert 400 <= status < 500, (status, answer)
    told = json.loads(answer)
    if path.startswith("/v1/messages"):
        check_messages_error(told)
    else:
        check_openai_error(told)
        assert told["error"]["type"] == "invalid_request_error", told


def check_end(error: Json | None) -> None:
    """No stream holds an error: what is wrong is said before, but for one thing.

    That no text at all obeys a schema may show only where the text would have to go on.
    """
    assert error is None or "make the schema or grammar simpler" in error["message"], error


def _wants_usage(options: Any) -> bool:
    return isinstance(options, dict) and cast(Json, options).get("include_usage") is True


def check_answer(path: str, body: Json, content_type: str, answer: bytes) -> None:
    """A 200 is whole, and read as strictly as any."""
    if path in ("/v1/embeddings", "/v1/messages/count_tokens"):
        json.loads(answer)
        return
    is_streamed = body.get("stream") is True
    wants_usage = _wants_usage(body.get("stream_options"))
    assert content_type.startswith("text/event-stream" if is_streamed else "application/json")
    match path, is_streamed:
        case "/v1/chat/completions", True:
            reply = chat.read_stream(
                parse(answer), num_choices=body.get("n") or 1, include_usage=wants_usage
            )
            check_end(reply.error)
        case "/v1/chat/completions", False:
            chat.read_whole(json.loads(answer))
        case "/v1/completions", True:
            check_end(completions.read_stream(parse(answer), include_usage=wants_usage).error)
        case "/v1/completions", False:
            completions.read_whole(json.loads(answer))
        case "/v1/responses", True:
            check_end(responses.read_stream(parse(answer)).error)
        case "/v1/responses", False:
            responses.read_whole(json.loads(answer))
        case _, True:
            check_end(messages.read_stream(parse(answer)).error)
        case _, False:
            messages.read_whole(json.loads(answer))


def check(address: str, path: str, body: Json) -> None:
    status, content_type, answer = post(address, path, json.dumps(body).encode())
    if status == 200:
        check_answer(path, body, content_type, answer)
    else:
        check_refusal(path, status, answer)


_SETTINGS = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], database=None
)


@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_uses_everything_is_answered(address: str, path: str) -> None:
    for body in BODIES[path]:
        status, content_type, answer = post(address, path, json.dumps(body).encode())
        assert status == 200, answer
        check_answer(path, body, content_type, answer)


@pytest.mark.parametrize("path", BODIES)
@settings(_SETTINGS, max_examples=_QUICK_EXAMPLES)
@given(data=st.data())
def test_a_spoilt_body_is_answered_or_refused_in_its_dialect(
    address: str, path: str, data: st.DataObject
) -> None:
    check(address, path, data.draw(spoilt(path)))


@pytest.mark.slow
@pytest.mark.parametrize("path", BODIES)
@settings(_SETTINGS, max_examples=_LONG_EXAMPLES)
@given(data=st.data())
def test_many_spoilt_bodies_are_answered_or_refused_in_their_dialect(
    address: str, path: str, data: st.DataObject
) -> None:
    check(address, path, data.draw(spoilt(path)))


_NOT_OBJECTS = [
    b"", b" ", b"null", b"[]", b"3", b'"x"', b"{", b'{"model":', b"\xff\xfe", b'{"model":"\xff"}',
    b"{}" * 2, b'{"a":' * 50_000, b"[" * 100_000, b'{"model":NaN}', b'{"model":1e999}',
    b'{"max_tokens":' + b"9" * 5000 + b"}", b"{'model': 1}", b'\xef\xbb\xbf{"model":"fake"}',
]  # fmt: skip


@pytest.mark.parametrize("path", BODIES)
def test_what_is_no_request_at_all_is_refused_in_its_dialect(address: str, path: str) -> None:
    for data in _NOT_OBJECTS:
        status, _, answer = post(address, path, data)
        check_refusal(path, status, answer)


@pytest.mark.parametrize("path", BODIES)
@settings(_SETTINGS, max_examples=_QUICK_EXAMPLES)
@given(data=st.data())
def test_a_body_that_breaks_off_or_is_torn_is_refused(
    address: str, path: str, data: st.DataObject
) -> None:
    whole = bytearray(json.dumps(BODIES[path][0]).encode())
    end = data.draw(st.integers(0, len(whole) - 1))
    torn = whole[:end]
    for _ in range(data.draw(st.integers(0, 3)) if torn else 0):
        torn[data.draw(st.integers(0, len(torn) - 1))] = data.draw(st.integers(0, 255))
    status, _, answer = post(address, path, bytes(torn))
    check_refusal(path, status, answer)
