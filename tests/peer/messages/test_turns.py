"""The messages dialect, inwards: what a conversation says, turn by turn."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from cortex.engine.errors import (
    CortexError,
    ImageUrlUnsupported,
    InvalidImage,
    InvalidRequest,
    TooManyImages,
    UnsupportedContent,
)
from cortex.engine.types import ImagePart, Message, TextPart, ToolCall
from cortex.peer.dialects.asked import Arrival, Limits
from cortex.peer.dialects.messages.blocks_in import joined
from cortex.peer.dialects.messages.parse import parse_message
from cortex.peer.dialects.messages.signatures import sign

PICTURE = b"\x89PNG picture"
DATA = base64.b64encode(PICTURE).decode()
NOTHING: dict[str, Any] = {}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def use(call_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "look", "input": {"b": 1, "a": 2}, **more}


def result(call_id: str, content: Any = "found", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def read(*messages: Any, system: Any = None, limits: Limits | None = None) -> list[Message]:
    body = {"model": "m", "max_tokens": 9, "messages": list(messages), "system": system}
    arrival = Arrival(7, 11, "ab", limits=limits or Limits())
    return list(parse_message(json.dumps(body).encode(), arrival).request.messages)


def refusal(*messages: Any, **more: Any) -> CortexError:
    with pytest.raises(CortexError) as caught:
        read(*messages, **more)
    return caught.value


def says(role: Any, words: str, **more: Any) -> Message:
    return Message(role, (TextPart(words),), **more)


def test_a_string_and_a_block_of_it_are_the_same():
    assert read({"role": "user", "content": "hi"}) == read(turn("user", text("hi")))
    assert read(turn("user", text("")))[0] == Message("user")


def test_what_moves_between_turns_does_not_reach_the_prompt():
    marked = text("hi", cache_control={"type": "ephemeral"}, citations=[{"x": 1}])
    assert read(turn("user", marked)) == [says("user", "hi")]
    called = use("c", cache_control={"type": "ephemeral"}, caller={"type": "direct"})
    assert read(turn("assistant", called)) == read(turn("assistant", use("c")))


def test_the_system_prompt_stands_in_front_with_blank_lines_and_without_what_is_volatile():
    system = [text("x-anthropic-billing-header: cc=1;"), text("You are."), text("Be kind.")]
    assert read(turn("user", text("hi")), system=system) == [
        says("system", "You are.\n\nBe kind."),
        says("user", "hi"),
    ]
    assert read(turn("user", text("hi")), system="You are.")[0] == says("system", "You are.")
    assert read(turn("user", text("hi")), system="")[0].role == "user"


def test_a_system_message_stays_where_it_is():
    messages = read(
        turn("user", text("hi")),
        {"role": "system", "content": "Now be brief."},
        {"role": "system", "content": "x-anthropic-billing-header: cc=1;"},
        turn("assistant", text("Yes.")),
        turn("system", text("Now be long.")),
    )
    assert messages == [
        says("user", "hi"),
        says("system", "Now be brief."),
        says("assistant", "Yes."),
        says("system", "Now be long."),
    ]


def test_messages_of_one_role_in_a_row_are_one_turn():
    assert read(turn("user", text("a")), turn("user", text("b")), turn("assistant", text("c"))) == [
        says("user", "a\nb"),
        says("assistant", "c"),
    ]


def test_words_of_several_blocks_stay_apart_for_users_and_together_for_assistants():
    blocks = (text("a"), text("b\n"), text("c"), text(""), text(" d"))
    assert read(turn("user", *blocks)) == [says("user", "a\nb\nc d")]
    assert read(turn("assistant", *blocks)) == [says("assistant", "ab\nc d")]


def test_pictures_stand_between_the_words():
    assert read(turn("user", text("a"), IMAGE, text("b"))) == [
        Message("user", (TextPart("a"), ImagePart(PICTURE), TextPart("b")))
    ]
    uri = {"type": "image", "source": {"type": "url", "url": f"data:image/png;base64,{DATA}"}}
    assert read(turn("user", uri)) == [Message("user", (ImagePart(PICTURE),))]


def test_results_come_first_each_as_a_message_of_its_own():
    messages = read(
        turn("user", text("go")),
        turn("assistant", use("a"), use("b")),
        turn("user", text("and?"), result("a"), IMAGE, result("b", [text("x"), text("y"), IMAGE])),
    )
    assert messages[2:] == [
        says("tool", "found", tool_call_id="a"),
        Message("tool", (TextPart("x\ny"), ImagePart(PICTURE)), tool_call_id="b"),
        Message("user", (TextPart("and?"), ImagePart(PICTURE))),
    ]


def test_results_alone_are_no_user_message():
    assert [m.role for m in read(turn("user", result("a")), turn("user", result("b")))] == [
        "tool",
        "tool",
    ]


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        ("", NOTHING, ""),
        (None, NOTHING, ""),
        ([], NOTHING, ""),
        ("no file", {"is_error": True}, "Error: no file"),
        ([text("no"), text("file")], {"is_error": True}, "Error: no\nfile"),
        (None, {"is_error": True}, "Error: "),
        ("fine", {"is_error": False}, "fine"),
        ([{"type": "tool_reference", "tool_name": "look"}], NOTHING, "look"),
        (
            [{"type": "search_result", "title": "T", "source": "S", "content": [text("x")]}],
            NOTHING,
            "T\nS\nx",
        ),
        ([{"type": "browser_state", "tabs": NOTHING}, text("x")], NOTHING, "x"),
    ],
)
def test_what_a_result_says(content: Any, more: dict[str, Any], words: str):
    assert read(turn("user", result("a", content, **more)))[0] == says(
        "tool", words, tool_call_id="a"
    )


def test_an_assistants_turn_keeps_thinking_text_and_calls():
    spoken = turn(
        "assistant",
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "x"},
        text("Let me see."),
        use("toolu_1"),
        {"type": "thinking", "thinking": "So."},
        use("any id: at all"),
    )
    assert read(spoken) == [
        says(
            "assistant",
            "Let me see.",
            reasoning="Hm.\n\nSo.",
            tool_calls=(
                ToolCall("toolu_1", "look", '{"b": 1, "a": 2}'),
                ToolCall("any id: at all", "look", '{"b": 1, "a": 2}'),
            ),
        )
    ]


def test_thinking_that_was_left_out_is_brought_back_by_its_signature():
    thinking = {"type": "thinking", "thinking": "", "signature": sign("It is 7.")}
    assert read(turn("assistant", thinking, text("7")))[0].reasoning == "It is 7."


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "x"}, "T\nC\nx"),
        ({"type": "content", "content": "x"}, "T\nC\nx"),
        ({"type": "content", "content": [text("x"), text("y")]}, "T\nC\nx\ny"),
    ],
)
def test_a_document_is_its_words_with_its_title(source: dict[str, Any], words: str):
    document = {"type": "document", "source": source, "title": "T", "context": "C"}
    assert read(turn("user", document)) == [says("user", words)]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "x", "name": "y", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "x", "content": {"type": "error"}},
        {"type": "container_upload", "file_id": "x"},
        {"type": "mcp_tool_result", "text": {"not": "text"}},
        {"type": "something new \n", "content": 3},
    ],
)
def test_blocks_that_nobody_here_understands_are_skipped(block: dict[str, Any]):
    assert read(turn("assistant", block, text("a"))) == [says("assistant", "a")]
    assert read(turn("user", block, text("a"))) == [says("user", "a")]


def test_a_log_line_shows_no_more_of_a_skipped_block_than_the_name_of_its_type(
    caplog: pytest.LogCaptureFixture,
):
    with caplog.at_level("DEBUG"):
        read(turn("user", {"type": "my secret!"}, {"type": "container_upload", "file_id": "x"}))
    assert [record.getMessage() for record in caplog.records] == [
        "block skipped type=?",
        "block skipped type=container_upload",
    ]


@pytest.mark.parametrize(
    ("role", "block", "param", "kind"),
    [
        ("user", {"text": "x"}, "type", InvalidRequest),
        ("user", "words", "", InvalidRequest),
        ("user", {"type": "text"}, "text", InvalidRequest),
        ("user", {"type": "text", "text": 3}, "text", InvalidRequest),
        ("user", {"type": "image"}, "source", InvalidRequest),
        ("user", {"type": "image_url", "image_url": {"url": "x"}}, "type", UnsupportedContent),
        ("user", {"type": "input_text", "text": "x"}, "type", UnsupportedContent),
        ("user", {"type": "image", "source": {"type": "base64"}}, "source.data", InvalidRequest),
        (
            "user",
            {"type": "image", "source": {"type": "base64", "data": "?"}},
            "source.data",
            InvalidImage,
        ),
        (
            "user",
            {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/a.png"}},
            "source.url",
            ImageUrlUnsupported,
        ),
        (
            "user",
            {"type": "image", "source": {"type": "file", "file_id": "f"}},
            "source.type",
            UnsupportedContent,
        ),
        (
            "user",
            {"type": "document", "source": {"type": "base64", "data": DATA}},
            "source.type",
            UnsupportedContent,
        ),
        (
            "user",
            {"type": "document", "source": {"type": "url", "url": "http://127.0.0.1/"}},
            "source.type",
            UnsupportedContent,
        ),
        ("user", {"type": "tool_result"}, "tool_use_id", InvalidRequest),
        ("user", result("a", 3), "content", InvalidRequest),
        ("user", result("a", [use("b")]), "content[0].type", InvalidRequest),
        ("user", use("a"), "type", InvalidRequest),
        ("assistant", {"type": "tool_use", "id": "a", "name": "b"}, "input", InvalidRequest),
        ("assistant", use("a", input="{}"), "input", InvalidRequest),
        ("assistant", {"type": "tool_use", "name": "b", "input": {}}, "id", InvalidRequest),
        ("assistant", IMAGE, "type", InvalidRequest),
        ("system", IMAGE, "type", InvalidRequest),
    ],
)
def test_a_wrong_block_is_named(role: str, block: Any, param: str, kind: type[CortexError]):
    error = refusal(turn("user", text("hi")), turn(role, text("x"), block))
    assert type(error) is kind
    assert error.param == f"messages[1].content[1].{param}".rstrip(".")


@pytest.mark.parametrize("is_result", [True, False])
def test_a_pdf_is_refused_in_words_on_which_agents_drop_it(is_result: bool):
    pdf = {"type": "document", "source": {"type": "base64", "data": DATA}}
    error = refusal(turn("user", result("a", [pdf]) if is_result else pdf))
    assert error.hint == "send the document's text (The PDF specified was not valid)"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "tool", "content": "x"}, "messages[0].role"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": 3}, "messages[0].content"),
    ],
)
def test_a_wrong_message_is_named(message: dict[str, Any], param: str):
    assert refusal(message).param == param


def test_pictures_by_address_are_refused_wherever_they_stand():
    image = {"type": "image", "source": {"type": "url", "url": "https://x.invalid/a.png"}}
    for blocks in ([image], [result("a", [image])]):
        old = turn("user", *blocks)
        error = refusal(old, turn("assistant", text("ok")), turn("user", text("and?")))
        assert isinstance(error, ImageUrlUnsupported)


def test_a_body_holds_no_more_of_anything_than_its_limits():
    limits = Limits(max_images=2, max_messages=3, max_parts=4)
    three = [result("a", [IMAGE]), IMAGE, IMAGE]
    too_many = refusal(turn("user", *three), limits=limits)
    assert isinstance(too_many, TooManyImages) and too_many.param == "messages"
    assert too_many.message == "messages: holds 3 pictures, at most 2 are taken"
    assert "new conversation" in too_many.hint and "max_images" in too_many.hint
    assert refusal(*[turn("user", text("a"))] * 4, limits=limits).param == "messages"
    five = turn("user", *[text("a")] * 5)
    assert refusal(five, limits=limits).param == "messages[0].content"


def test_very_many_texts_are_joined_in_bounded_time():
    """Put together one by one, the time goes with the square of their number."""
    began_s = time.process_time()
    (whole,) = joined((TextPart("0123456789"),) * 100_000, "\n")
    assert time.process_time() - began_s < 5
    assert whole == TextPart("\n".join(["0123456789"] * 100_000))
