"""The messages dialect, outwards: streams, and the whole replies that they add up to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.stream import (
    Accepted,
    Delta,
    Finished,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
    Usage,
)
from cortex.engine.types import FinishReason
from cortex.peer.dialects.asked import Answer
from cortex.peer.dialects.errors import ToldError
from cortex.peer.dialects.messages.reply import MessageTeller, ReplyHead
from cortex.peer.dialects.messages.signatures import hidden_text, sign

Json = dict[str, Any]
ReadStream = Callable[[bytes], Json]

HEAD = ReplyHead("msg_1", "m")
USAGE = Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4, reasoning_tokens=2)


def streamed(
    deltas: Sequence[Delta], finished: Finished, head: ReplyHead = HEAD, pieces: int = 1
) -> bytes:
    teller = MessageTeller(head)
    told = [teller.open(Accepted(10, (), 100))]
    told += [
        teller.tell(Piece(tuple(deltas[at : at + pieces]))) for at in range(0, len(deltas), pieces)
    ]
    return b"".join([*told, teller.keep_alive(), teller.tell(finished), teller.close()])


def whole(deltas: Sequence[Delta], finished: Finished, head: ReplyHead = HEAD) -> Json:
    return json.loads(MessageTeller(head).whole([Answer(Piece(tuple(deltas)), finished)]))


def ended(reason: FinishReason = "stop", stop_text: str | None = None) -> Finished:
    return Finished(reason, USAGE, stop_text=stop_text)


def call(index: int, *pieces: str, is_whole: bool = True) -> list[Delta]:
    begin = ToolCallBegin(index, f"call_{index}", "look")
    arguments = [ToolCallArguments(index, piece) for piece in pieces]
    return [begin, *arguments, ToolCallEnd(index, is_whole)]


@st.composite
def answers(draw: st.DrawFn) -> list[Delta]:
    """Any answer that an engine can make: reasoning, then words and calls in any order."""
    texts = st.lists(st.text(max_size=5), max_size=3)
    deltas: list[Delta] = [ReasoningDelta(text) for text in draw(texts)]
    num_calls = 0
    for is_call in draw(st.lists(st.booleans(), max_size=4)):
        if not is_call:
            deltas += [TextDelta(text) for text in draw(texts)]
            continue
        pieces = draw(st.lists(st.text('{}[]":,ab1 \\', max_size=6), max_size=4))
        deltas += call(num_calls, *pieces, is_whole=draw(st.booleans()))
        num_calls += 1
    return deltas


FINISHES = st.builds(
    ended, st.sampled_from(["stop", "length", "context"]), st.none() | st.text(min_size=1)
)


@given(answers(), FINISHES, st.booleans(), st.integers(1, 5))
def test_every_answer_streams_in_order_and_adds_up_to_the_whole_reply(
    read_stream: ReadStream,
    deltas: list[Delta],
    finished: Finished,
    hides_thinking: bool,
    pieces: int,
):
    head = ReplyHead("msg_1", "m", hides_thinking)
    message = read_stream(streamed(deltas, finished, head, pieces))
    message.pop("stop_details")  # the SDK's own
    assert message == whole(deltas, finished, head)


@given(answers(), FINISHES)
def test_a_reply_says_everything_and_is_never_empty(deltas: list[Delta], finished: Finished):
    content = whole(deltas, finished)["content"]
    assert content
    for kind, field, delta_type in (
        ("text", "text", TextDelta),
        ("thinking", "thinking", ReasoningDelta),
    ):
        said = "".join(block[field] for block in content if block["type"] == kind)
        assert said == "".join(d.text for d in deltas if isinstance(d, delta_type))
    assert all(block["signature"] for block in content if block["type"] == "thinking")
    num_calls = sum(isinstance(delta, ToolCallBegin) for delta in deltas)
    assert sum(block["type"] == "tool_use" for block in content) == num_calls


def test_a_whole_reply_reads_as_the_dialect_writes_it():
    deltas = [ReasoningDelta("Hm."), TextDelta("Let me see."), *call(0, '{"a": ', "1}")]
    assert whole(deltas, ended()) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "cortex1."},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_0", "name": "look", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }


def test_a_stream_begins_with_an_empty_message_and_its_counts(
    read_events: Callable[[bytes], list[Json]],
):
    start, ping, *_ = read_events(streamed([TextDelta("hi")], ended()))
    message = start["message"]
    assert (message["content"], message["stop_reason"], message["stop_sequence"]) == (
        [],
        None,
        None,
    )
    assert message["usage"] == {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }
    assert ping == {"type": "ping"}


def test_parallel_calls_and_text_between_them_stand_one_after_the_other(read_stream: ReadStream):
    deltas = [*call(0, "{}"), TextDelta("and"), *call(1, '{"a":', '"b"}'), *call(2)]
    content = read_stream(streamed(deltas, ended()))["content"]
    assert [block["type"] for block in content] == ["tool_use", "text", "tool_use", "tool_use"]
    assert [block.get("input") for block in content] == [{}, None, {"a": "b"}, {}]


@pytest.mark.parametrize(
    ("finished", "deltas", "expected"),
    [
        (ended(), [], ("end_turn", None)),
        (ended("length"), [], ("max_tokens", None)),
        (ended("context"), [], ("model_context_window_exceeded", None)),
        (ended("stop", "END"), [], ("stop_sequence", "END")),
        (ended(), call(0, "{}"), ("tool_use", None)),
        (ended("length"), call(0, '{"a', is_whole=False), ("max_tokens", None)),
    ],
)
def test_why_an_answer_ended(
    finished: Finished, deltas: list[Delta], expected: tuple[str, str | None]
):
    reply = whole(deltas, finished)
    assert (reply["stop_reason"], reply["stop_sequence"]) == expected


def test_a_call_that_was_cut_off_is_not_closed_and_keeps_what_was_whole(read_stream: ReadStream):
    deltas = call(0, '{"path": "a", "text": "half of', is_whole=False)
    stream = streamed(deltas, ended("length"))
    assert b"half of" in stream
    assert read_stream(stream)["content"][0]["input"] == {"path": "a"}
    assert whole(deltas, ended("length"))["content"][0]["input"] == {"path": "a"}


def test_a_call_that_the_model_left_unfinished_is_closed(read_stream: ReadStream):
    deltas = call(0, '{"path": "a", "lines": [1, ', is_whole=False)
    expected = {"path": "a", "lines": [1]}
    assert read_stream(streamed(deltas, ended()))["content"][0]["input"] == expected
    assert whole(deltas, ended())["content"][0]["input"] == expected


def test_thinking_that_is_left_out_can_be_brought_back(read_stream: ReadStream):
    head = ReplyHead("msg_1", "m", hides_thinking=True)
    stream = streamed(
        [ReasoningDelta("It "), ReasoningDelta("is 7."), TextDelta("7")], ended(), head
    )
    assert b"is 7." not in stream
    thinking = read_stream(stream)["content"][0]
    assert thinking["thinking"] == ""
    assert hidden_text(thinking["signature"]) == "It is 7."


def test_a_stream_that_fails_says_so_and_has_no_end(read_events: Callable[[bytes], list[Json]]):
    teller = MessageTeller(HEAD)
    told = teller.open(Accepted(10, (), 100)) + teller.tell(Piece((TextDelta("He"),)))
    error = ToldError(503, "server_error", "overloaded", "it is full")
    *_, last = read_events(told + teller.fail(error))
    assert last["type"] == "error"
    assert last["error"]["type"] == "overloaded_error"
    assert last["error"]["message"] == "it is full"
    assert last["error"]["details"]["error_code"] == "overloaded"


def test_a_made_up_signature_cannot_unfold_to_gigabytes():
    bomb = sign("a" * (1 << 24))
    assert len(bomb) < 1 << 16
    assert hidden_text(bomb) == ""


@pytest.mark.parametrize("signature", ["", "sig-mock", "cortex1.", "cortex1.%%%", "cortex1.AAAA"])
def test_a_signature_that_is_not_ours_brings_nothing_back(signature: str):
    assert hidden_text(signature) == ""
