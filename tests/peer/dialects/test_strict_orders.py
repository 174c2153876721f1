"""The checks that every reply in these tests goes through: each rule of an order can be broken."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.strict import chat, completions, messages, responses
from tests.strict.sse import Comment, Event, Json, parse

Stream = list[Event | Comment]
Change = Callable[[list[Json]], Any]


def as_stream(values: list[Json], *, is_named: bool) -> Stream:
    return [Event(value["type"] if is_named else None, json.dumps(value)) for value in values]


def chunk(delta: Json, reason: str | None = None, **more: Any) -> Json:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return head | {"choices": [choice]} | more


def call(**function: str) -> Json:
    return {"index": 0, "function": function}


def chat_values() -> list[Json]:
    begun = call(name="f", arguments="") | {"id": "call_1", "type": "function"}
    return [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "so"}),
        chunk({"content": "hello"}),
        chunk({"tool_calls": [begun]}),
        chunk({"tool_calls": [call(arguments='{"a":1}')]}),
        chunk({}, "tool_calls"),
    ]


def read_chat(values: list[Json]) -> Any:
    return chat.read_stream([*as_stream(values, is_named=False), Event(None, "[DONE]")])


def put(place: int, *path: Any, to: Any) -> Change:
    """Change one value of one event."""

    def change(values: list[Json]) -> None:
        target: Any = values[place]
        for name in path[:-1]:
            target = target[name]
        target[path[-1]] = to

    return change


def swap(place: int) -> Change:
    def change(values: list[Json]) -> None:
        values[place], values[place + 1] = values[place + 1], values[place]

    return change


def drop(place: int) -> Change:
    return lambda values: values.pop(place)


def repeat(place: int) -> Change:
    return lambda values: values.insert(place, copy.deepcopy(values[place]))


DELTA = ("choices", 0, "delta")
FIRST_CALL = (*DELTA, "tool_calls", 0)


def test_a_chat_stream_in_order_is_read() -> None:
    [choice] = read_chat(chat_values()).choices
    assert (choice.reasoning, choice.content) == ("so", "hello")
    assert [(made.name, made.arguments) for made in choice.calls] == [("f", '{"a":1}')]


@pytest.mark.parametrize(
    "change",
    [
        drop(0), drop(3), drop(4), drop(5), repeat(0), repeat(3), repeat(5),
        swap(0), swap(1), swap(2), swap(3), swap(4),
        put(1, *DELTA, "content", to=None),
        put(2, "id", to="chatcmpl-2"),
        put(2, "usage", to=None),
        put(2, *DELTA, to={"content": "a", "tool_calls": []}),
        put(3, *FIRST_CALL, "id", to=""),
        put(4, *FIRST_CALL, "id", to="call_1"),
        put(4, *FIRST_CALL, "function", "name", to="f"),
        put(4, *FIRST_CALL, "index", to=1),
        put(4, *FIRST_CALL, "function", "arguments", to='{"a":'),
        put(5, "choices", 0, "finish_reason", to="stop"),
        put(5, "choices", 0, "finish_reason", to="tool_use"),
    ],
)  # fmt: skip
def test_every_rule_of_a_chat_stream_is_kept(change: Change) -> None:
    values = chat_values()
    change(values)
    with pytest.raises((AssertionError, KeyError, IndexError)):
        read_chat(values)


def test_usage_comes_once_last_and_only_where_it_was_asked_for() -> None:
    usage = {
        "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    values: list[Json] = [
        chunk({"role": "assistant", "content": ""}, usage=None),
        chunk({}, "stop", usage=None),
        chunk({}, usage=usage) | {"choices": []},
    ]
    done = Event(None, "[DONE]")
    stream = [*as_stream(values, is_named=False), done]
    assert chat.read_stream(stream, include_usage=True).usage == usage
    for wrong in ([*stream[:2], done], [stream[0], stream[2], stream[1], done]):
        with pytest.raises(AssertionError):
            chat.read_stream(wrong, include_usage=True)
    with pytest.raises(AssertionError):
        chat.read_stream(stream)
    with pytest.raises(AssertionError, match="DONE"):
        chat.read_stream(stream[:-1], include_usage=True)


def test_each_choice_begins_before_any_goes_on() -> None:
    first, second = ({"index": index} for index in (0, 1))

    def of(choice: Json, delta: Json, reason: str | None = None) -> Json:
        told = chunk(delta, reason)
        told["choices"][0] |= choice
        return told

    begin = {"role": "assistant", "content": ""}
    values = [of(first, begin), of(second, begin), of(second, {}, "stop"), of(first, {}, "stop")]
    done = Event(None, "[DONE]")
    assert len(chat.read_stream([*as_stream(values, is_named=False), done], num_choices=2).choices)
    for wrong in ([1, 0, 2, 3], [0, 3, 1, 2], [0, 1, 2], [0, 1, 2, 2]):
        stream = as_stream([values[place] for place in wrong], is_named=False)
        with pytest.raises((AssertionError, IndexError)):
            chat.read_stream([*stream, done], num_choices=2)


def messages_values() -> list[Json]:
    usage = {
        "input_tokens": 5, "cache_read_input_tokens": 1, "cache_creation_input_tokens": 0,
        "output_tokens": 1,
    }  # fmt: skip
    message: Json = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip

    def block(index: int, kind: str, **more: Any) -> Json:
        return {"type": f"content_block_{kind}", "index": index} | more

    begun: Json = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    return [
        {"type": "message_start", "message": message},
        {"type": "ping"},
        block(0, "start", content_block=thinking),
        block(0, "delta", delta={"type": "thinking_delta", "thinking": "so"}),
        block(0, "delta", delta={"type": "signature_delta", "signature": "x"}),
        block(0, "stop"),
        block(1, "start", content_block=begun),
        block(1, "delta", delta={"type": "input_json_delta", "partial_json": '{"a":1}'}),
        block(1, "stop"),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": usage | {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]


def test_a_messages_stream_in_order_is_read() -> None:
    reply = messages.read_stream(as_stream(messages_values(), is_named=True))
    assert [block["type"] for block in reply.content] == ["thinking", "tool_use"]
    assert reply.content[1]["input"] == {"a": 1}
    assert reply.usage["output_tokens"] == 7


@pytest.mark.parametrize(
    "change",
    [
        *(drop(place) for place in (0, 1, 2, 4, 5, 6, 8, 9, 10)),
        *(repeat(place) for place in (0, 2, 5, 6, 8, 9, 10)),
        *(swap(place) for place in range(10)),
        put(3, "delta", to={"type": "text_delta", "text": "so"}),
        put(5, "index", to=1),
        put(6, "content_block", "input", to={"a": 1}),
        put(6, "content_block", "id", to="call_1"),
        put(7, "delta", "partial_json", to='{"a":'),
        put(9, "delta", "stop_reason", to="end_turn"),
        put(9, "delta", "stop_sequence", to="x"),
        put(9, "usage", "input_tokens", to=1),
        put(0, "message", "stop_sequence", to="x"),
    ],
)
def test_every_rule_of_a_messages_stream_is_kept(change: Change) -> None:
    values = messages_values()
    change(values)
    with pytest.raises((AssertionError, KeyError)):
        messages.read_stream(as_stream(values, is_named=True))


def test_a_messages_stream_may_end_with_an_error_and_nothing_after_it() -> None:
    values = messages_values()[:4]
    failed = {"type": "error", "error": {"type": "api_error", "message": "gone"}}
    reply = messages.read_stream(as_stream([*values, failed], is_named=True))
    assert reply.error == failed["error"]
    with pytest.raises(AssertionError, match="after the end"):
        messages.read_stream(as_stream([*values, failed, {"type": "message_stop"}], is_named=True))


def responses_values() -> list[Json]:
    head: Json = {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress",
        "error": None, "incomplete_details": None, "instructions": None, "model": "m",
        "output": [], "parallel_tool_calls": True, "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None}, "store": False, "temperature": 1.0,
        "top_p": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "truncation": "disabled", "max_output_tokens": None, "metadata": {},
        "background": False, "usage": None,
    }  # fmt: skip
    usage = {
        "input_tokens": 3, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 5,
    }  # fmt: skip
    empty: Json = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    message: Json = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    called = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}
    said: Json = message | {"status": "completed", "content": [empty | {"text": "hi"}]}
    made = called | {"status": "completed", "arguments": "{}"}
    part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    of_call = {"item_id": "fc_1", "output_index": 1}
    begun = called | {"status": "in_progress", "arguments": ""}
    values: list[Json] = [
        {"type": "response.created", "response": head},
        {"type": "response.in_progress", "response": head},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": message | {"status": "in_progress"},
        },
        {"type": "response.content_part.added", "part": empty} | part,
        {"type": "response.output_text.delta", "delta": "hi", "logprobs": []} | part,
        {"type": "response.output_text.done", "text": "hi", "logprobs": []} | part,
        {"type": "response.content_part.done", "part": empty | {"text": "hi"}} | part,
        {"type": "response.output_item.done", "output_index": 0, "item": said},
        {"type": "response.output_item.added", "output_index": 1, "item": begun},
        {"type": "response.function_call_arguments.delta", "delta": "{}"} | of_call,
        {"type": "response.function_call_arguments.done", "name": "f", "arguments": "{}"} | of_call,
        {"type": "response.output_item.done", "output_index": 1, "item": made},
        {
            "type": "response.completed",
            "response": head | {"status": "completed", "output": [said, made], "usage": usage},
        },
    ]
    return values


def read_responses(values: list[Json]) -> responses.ResponsesReply:
    numbered = [value | {"sequence_number": place} for place, value in enumerate(values)]
    return responses.read_stream(as_stream(numbered, is_named=True))


def test_a_responses_stream_in_order_is_read() -> None:
    reply = read_responses(responses_values())
    assert (reply.text, [made["name"] for made in reply.calls]) == ("hi", ["f"])


@pytest.mark.parametrize(
    "change",
    [
        *(drop(place) for place in range(13)),
        *(repeat(place) for place in (0, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)),
        *(swap(place) for place in range(12)),
        put(5, "text", to="ho"),
        put(7, "item", "id", to="msg_2"),
        put(7, "item", "status", to="in_progress"),
        put(8, "output_index", to=0),
        put(10, "name", to="g"),
        put(11, "item", "arguments", to="{"),
        put(12, "response", "id", to="resp_2"),
        put(12, "response", "status", to="incomplete"),
        put(12, "response", "usage", "total_tokens", to=6),
    ],
)
def test_every_rule_of_a_responses_stream_is_kept(change: Change) -> None:
    values = copy.deepcopy(responses_values())
    change(values)
    with pytest.raises((AssertionError, KeyError)):
        read_responses(values)


def test_a_responses_stream_is_numbered_without_a_gap() -> None:
    numbered = [value | {"sequence_number": 0} for value in responses_values()]
    with pytest.raises(AssertionError, match="number"):
        responses.read_stream(as_stream(numbered, is_named=True))


def test_a_completions_stream_has_one_end_a_choice() -> None:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}

    def piece(text: str, reason: str | None = None) -> Json:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return head | {"choices": [choice]}

    done = Event(None, "[DONE]")

    def read(*values: Json) -> completions.TextReply:
        return completions.read_stream([*as_stream([*values], is_named=False), done])

    assert read(piece("a"), piece("b", "stop")).choices[0].text == "ab"
    for wrong in ([piece("a")], [piece("a", "stop"), piece("b", "stop")], [piece("a", "x")]):
        with pytest.raises(AssertionError):
            read(*wrong)


@pytest.mark.parametrize(
    "body",
    [
        b"data: {}",
        b"data: {}\n\n\ndata: {}\n\n",
        b"data: {}\r\n\r\n",
        b"retry: 1\ndata: {}\n\n",
        b"data: {}\ndata: {}\n\n",
        b": a comment\ndata: {}\n\n",
    ],
)
def test_only_whole_and_plain_events_make_a_stream(body: bytes) -> None:
    with pytest.raises(AssertionError):
        parse(body)


def test_comments_stand_beside_events() -> None:
    body = b': keep-alive\n\nevent: a\ndata: {"type":"a"}\n\n'
    assert parse(body) == [Comment("keep-alive"), Event("a", '{"type":"a"}')]
