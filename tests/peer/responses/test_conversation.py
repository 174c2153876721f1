"""Items of the Responses dialect, read as turns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.engine.errors import (
    CortexError,
    ImageUrlUnsupported,
    InvalidImage,
    UnsupportedContent,
)
from cortex.engine.types import (
    ImagePart,
    Message,
    TextPart,
    ToolCall,
)
from tests.peer.responses.bodies import PIXEL, TOOLS, called, output, read, refusal, said, user


def test_instructions_stand_first():
    messages = read(said("developer", "more"), said("user"), instructions="Be brief.")
    assert messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("system", (TextPart("more"),)),
        user("hi"),
    )


def test_system_and_developer_messages_stay_where_they_are():
    messages = read(said("user"), said("system", "a"), said("user"), said("developer", "b"))
    assert [message.role for message in messages] == ["user", "system", "user", "system"]


def test_a_volatile_line_of_a_system_message_is_dropped():
    line = {"type": "input_text", "text": "x-anthropic-billing-header: 1"}
    messages = read(said("system", [line, {"type": "input_text", "text": "a"}]), said("user"))
    assert messages[0] == Message("system", (TextPart("a"),))
    assert read(said("system", [line]), said("user")) == (user("hi"),)


@pytest.mark.parametrize("kind", ["input_text", "output_text", "text"])
def test_text_is_read_under_each_of_its_names(kind: str):
    assert read({"role": "user", "content": [{"type": kind, "text": "hi"}]}) == (user("hi"),)


def test_what_an_assistant_thought_said_and_called_is_one_message():
    messages = read(
        said("user"),
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}], "id": 5},
        said("assistant", [{"type": "output_text", "text": "I look.", "annotations": 1}]),
        said("assistant", [{"type": "refusal", "refusal": "No."}]),
        called("f", '{"a":1}', id=9, status={}),
        called("g", "{}", call_id="d"),
        output("sunny"),
        {"type": "function_call_output", "call_id": "d", "output": "dry"},
        said("user", "thanks"),
    )
    calls = (ToolCall("c", "f", '{"a":1}'), ToolCall("d", "g", "{}"))
    assert messages == (
        user("hi"),
        Message("assistant", (TextPart("I look."), TextPart("No.")), "hm", calls),
        Message("tool", (TextPart("sunny"),), tool_call_id="c"),
        Message("tool", (TextPart("dry"),), tool_call_id="d"),
        user("thanks"),
    )


@pytest.mark.parametrize(
    ("reasoning", "thought"),
    [
        ({"content": None, "summary": [{"type": "summary_text", "text": "short"}]}, "short"),
        ({"content": [{"type": "reasoning_text", "text": "long"}], "summary": []}, "long"),
        ({"summary": [{"type": "t", "text": "a"}, {"type": "t", "text": "b"}]}, "a\n\nb"),
        ({"encrypted_content": "x"}, ""),
    ],
)
def test_reasoning_is_read_from_its_content_or_its_summary(reasoning: dict[str, Any], thought: str):
    messages = read(said("user"), {"type": "reasoning"} | reasoning, called(), output("x"))
    assert messages[1].reasoning == thought


def test_thoughts_that_led_to_nothing_are_forgotten():
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
    assert read(thought, said("user"), thought) == (user("hi"),)


def test_an_answer_that_was_begun_may_be_gone_on_with():
    messages = read(said("user"), said("assistant", "One, two"))
    assert messages[-1] == Message("assistant", (TextPart("One, two"),))


def test_an_output_may_hold_pictures_and_they_stay_in_it():
    parts = [{"type": "input_text", "text": "seen"}, {"type": "input_image", "image_url": PIXEL}]
    messages = read(said("user"), called(), output(parts))
    assert messages[-1].content == (TextPart("seen"), ImagePart(b"\0\0\0"))
    assert messages[-1].role == "tool"


def test_calls_of_custom_tools_are_read_with_their_text_as_input():
    call = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": 'a "b"\n'}
    messages = read(said("user"), call, output("done", "custom_tool_call_output"))
    assert messages[1].tool_calls == (ToolCall("c", "patch", '{"input":"a \\"b\\"\\n"}'),)
    assert messages[2] == Message("tool", (TextPart("done"),), tool_call_id="c")


def test_calls_of_tools_in_a_namespace_carry_the_name_the_model_knows():
    messages = read(said("user"), called("g", namespace="ns"), output("x"), tools=TOOLS)
    assert messages[1].tool_calls[0].name == "ns__g"
    messages = read(said("user"), called("old", namespace="gone"), output("x"))
    assert messages[1].tool_calls[0].name == "gone__old"


@pytest.mark.parametrize("arguments", ['{"a": "cut o', "[1]", "x", '{"a":' * 5000])
def test_arguments_that_are_no_object_come_back_inside_of_one(arguments: str):
    messages = read(said("user"), called(arguments=arguments), output("no JSON"))
    assert json.loads(messages[1].tool_calls[0].arguments) == {"arguments": arguments}


@pytest.mark.parametrize("arguments", ["", " ", None])
def test_no_arguments_are_an_empty_object(arguments: str | None):
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}
    assert read(said("user"), item, output(None))[1].tool_calls[0].arguments == "{}"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ({"type": "local_shell_call", "action": {"command": ["ls"]}}, '{"command": ["ls"]}'),
        ({"type": "apply_patch_call", "operation": {"path": "a"}}, '{"path": "a"}'),
        ({"type": "shell_call"}, "{}"),
    ],
)
def test_calls_under_the_dialects_own_names_are_calls(call: dict[str, Any], arguments: str):
    kind = f"{call['type']}_output"
    messages = read(said("user"), call | {"call_id": "c"}, output([{"stdout": "a"}], kind))
    name = call["type"].removesuffix("_call")
    assert messages[1].tool_calls == (ToolCall("c", name, arguments),)
    assert messages[2] == Message("tool", (TextPart('[{"stdout": "a"}]'),), tool_call_id="c")


def test_an_output_under_such_a_name_may_be_a_text():
    item = {"type": "local_shell_call_output", "id": "c", "output": "a\n"}
    assert read(said("user"), item)[-1] == Message("tool", (TextPart("a\n"),), tool_call_id="c")


def test_what_another_agent_says_is_read_as_far_as_it_can_be():
    parts = [{"type": "input_text", "text": "over"}, {"type": "encrypted_content"}]
    assert read(said("user"), {"type": "agent_message", "content": parts})[-1] == user("over")
    assert read(said("user"), {"type": "agent_message", "content": parts[1:]}) == (user("hi"),)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "action": 5},
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "mcp_list_tools", "tools": "?", "output": []},
        {"type": "tomorrows", "content": 1, "role": "user"},
        {},
    ],
)
def test_items_that_say_nothing_to_a_model_are_skipped_with_a_line_in_the_log(
    item: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    messages = read(said("user"), thought, item, called(), output("x"))
    assert [message.role for message in messages] == ["user", "assistant", "tool"]
    assert messages[1].reasoning == "hm"
    assert caplog.messages == ["input item skipped path=input[2]"]


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({"type": "item_reference", "id": "msg_1"}, UnsupportedContent),
        ({"id": "msg_1"}, UnsupportedContent),
        (said("user", [{"type": "input_file", "file_data": "x"}]), UnsupportedContent),
        (said("user", [{"type": "input_audio"}]), UnsupportedContent),
        (said("user", [{"type": "input_image", "file_id": "file-1"}]), UnsupportedContent),
        (
            said("user", [{"type": "input_image", "image_url": "http://127.0.0.1/a.png"}]),
            ImageUrlUnsupported,
        ),
        (output([{"type": "input_image", "image_url": "file:///etc"}]), ImageUrlUnsupported),
        (
            said("user", [{"type": "input_image", "image_url": "data:image/png;base64,!"}]),
            InvalidImage,
        ),
    ],
)
def test_content_that_is_not_taken_is_refused(item: dict[str, Any], error: type[CortexError]):
    assert type(refusal(input=[item])) is error


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}])
def test_a_reference_is_refused_with_what_makes_clients_send_items(item: dict[str, Any]):
    hint = refusal(input=[item]).hint
    assert "`store: false`" in hint
    assert "`providerOptions.openai.store`" in hint
