"""The checks that every reply in these tests goes through pass a stream in order, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.strict import chat, completions, messages, responses
from tests.strict.sse import Event, Json, parse

Change = Callable[[list[Json]], Any]


def drop(place: int) -> Change:
    return lambda values: values.pop(place)


def repeat(place: int) -> Change:
    return lambda values: values.insert(place, values[place])


def swap(place: int) -> Change:
    return lambda values: values.insert(place, values.pop(place + 1))


def put(place: int, **fields: Any) -> Change:
    return lambda values: values[place].update(fields)


def openai(kind: str, *choices: Json) -> list[Json]:
    head = {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "m"}
    return [head | {"choices": [choice]} for choice in choices]


def chunk(delta: Json, reason: str | None = None, index: int = 0) -> Json:
    return {"index": index, "delta": delta, "finish_reason": reason}


def chat_values() -> list[Json]:
    function = {"index": 0, "function": {"arguments": '{"a":1}'}}
    begun = {"index": 0, "id": "call_1", "type": "function"}
    return openai(
        "chat.completion.chunk",
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "so"}),
        chunk({"content": "hello"}),
        chunk({"tool_calls": [begun | {"function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [function]}),
        chunk({}, "tool_calls"),
    )


def usage_values() -> list[Json]:
    usage: Json = {
        "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    values = [value | {"usage": None} for value in chat_values()]
    return [*values, values[0] | {"choices": [], "usage": usage}]


def choices_values() -> list[Json]:
    begun: Json = {"role": "assistant", "content": ""}
    return openai(
        "chat.completion.chunk",
        *(chunk(begun, index=index) for index in (0, 1)),
        *(chunk({}, "stop", index) for index in (0, 1)),
    )


def completions_values() -> list[Json]:
    piece: Json = {"index": 0, "text": "a", "logprobs": None, "finish_reason": None}
    told = openai("text_completion", piece, piece | {"finish_reason": "stop"})
    return [value | {"id": "cmpl-1"} for value in told]


def messages_values() -> list[Json]:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 1, "cache_creation_input_tokens": 0}
    usage |= {"output_tokens": 1}
    message: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    end: Json = {"stop_reason": None, "stop_sequence": None}
    begun: Json = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    part = {"type": "input_json_delta", "partial_json": '{"a":1}'}

    def block(index: int, kind: str, **more: Any) -> Json:
        return {"type": f"content_block_{kind}", "index": index} | more

    return [
        {"type": "message_start", "message": message | end | {"content": [], "usage": usage}},
        {"type": "ping"},
        block(0, "start", content_block={"type": "text", "text": ""}),
        block(0, "delta", delta={"type": "text_delta", "text": "hello"}),
        block(0, "stop"),
        block(1, "start", content_block=begun),
        block(1, "delta", delta=part),
        block(1, "stop"),
        {"type": "message_delta", "delta": end | {"stop_reason": "tool_use"}, "usage": usage},
        {"type": "message_stop"},
    ]


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
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}
    made = item | {"status": "completed", "arguments": "{}"}
    place = {"item_id": "fc_1", "output_index": 0}
    begun = item | {"status": "in_progress", "arguments": ""}
    return [
        {"type": "response.created", "response": head},
        {"type": "response.in_progress", "response": head},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.function_call_arguments.delta", "delta": "{}"} | place,
        {"type": "response.function_call_arguments.done", "name": "f", "arguments": "{}"} | place,
        {"type": "response.output_item.done", "output_index": 0, "item": made},
        {
            "type": "response.completed",
            "response": head | {"status": "completed", "output": [made], "usage": usage},
        },
    ]


ORDERS: dict[str, tuple[Callable[[], list[Json]], Callable[..., Any]]] = {
    "chat": (chat_values, chat.read_stream),
    "chat with its usage": (usage_values, partial(chat.read_stream, include_usage=True)),
    "chat of two choices": (choices_values, partial(chat.read_stream, num_choices=2)),
    "completions": (completions_values, completions.read_stream),
    "messages": (messages_values, messages.read_stream),
    "responses": (responses_values, responses.read_stream),
}


def read(dialect: str, change: Change = lambda values: None, **wishes: Any) -> Any:
    values: list[Json] = ORDERS[dialect][0]()
    change(values)
    if dialect == "responses":
        values = [{"sequence_number": number, **value} for number, value in enumerate(values)]
    events = [Event(value.get("type"), json.dumps(value)) for value in values]
    ends = [] if dialect in ("messages", "responses") else [Event(None, "[DONE]")]
    return ORDERS[dialect][1]([*events, *ends], **wishes)


def test_streams_in_order_are_read() -> None:
    [choice] = read("chat").choices
    assert (choice.reasoning, choice.content) == ("so", "hello")
    assert [(made.name, made.arguments) for made in choice.calls] == [("f", '{"a":1}')]
    assert read("chat with its usage").usage["total_tokens"] == 5
    assert len(read("chat of two choices").choices) == 2
    assert read("completions").choices[0].text == "aa"
    assert [block["type"] for block in read("messages").content] == ["text", "tool_use"]
    assert [made["name"] for made in read("responses").calls] == ["f"]


@pytest.mark.parametrize(
    ("dialect", "change"),
    [
        *(("chat", change(place)) for change in (drop, repeat) for place in (0, 3, 5)),
        *(("chat", swap(place)) for place in range(5)),
        ("chat", put(2, id="chatcmpl-2")),
        ("chat", put(2, usage=None)),
        ("chat", put(5, choices=[chunk({}, "stop")])),
        ("chat with its usage", swap(5)),
        *(("chat of two choices", swap(place)) for place in (0, 1)),
        *(("completions", change) for change in (drop(1), repeat(1), put(1, id="cmpl-2"))),
        *(("messages", change(place)) for change in (drop, repeat) for place in (0, 2, 4, 8, 9)),
        *(("messages", swap(place)) for place in range(9)),
        ("messages", put(4, index=1)),
        ("messages", put(6, delta={"type": "input_json_delta", "partial_json": '{"a":'})),
        ("messages", put(8, delta={"stop_reason": "end_turn", "stop_sequence": None})),
        *(("responses", drop(place)) for place in range(7)),
        *(("responses", swap(place)) for place in range(6)),
        ("responses", put(3, sequence_number=4)),
        ("responses", put(4, arguments="{")),
        ("responses", put(5, output_index=1)),
    ],
)
def test_a_stream_out_of_order_is_refused(dialect: str, change: Change) -> None:
    with pytest.raises((AssertionError, KeyError, IndexError)):
        read(dialect, change)


def test_usage_is_told_where_it_was_asked_for_alone() -> None:
    with pytest.raises(AssertionError):
        read("chat", include_usage=True)


@pytest.mark.parametrize(
    "body", [b"data: {}", b"data: {}\r\n\r\n", b"retry: 1\ndata: {}\n\n", b"data: {}\ndata: {}\n\n"]
)
def test_only_whole_and_plain_events_make_a_stream(body: bytes) -> None:
    with pytest.raises(AssertionError):
        parse(body)
