"""Deltas joined, told as chunks, and what a client makes of these."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.stream import (
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
from cortex.engine.types import FinishReason, ToolCall
from cortex.peer.client.chunks import StreamReader
from cortex.peer.deltas import melted, said
from cortex.peer.dialects.asked import Answer
from cortex.peer.dialects.chat.reply import ChatTeller
from cortex.peer.dialects.openai_replies import ReplyHead

HEAD = ReplyHead("chatcmpl-1", 7, "m", include_usage=True)
CALLED: tuple[Delta, ...] = (
    ReasoningDelta("hm"),
    TextDelta("I look."),
    ToolCallBegin(0, "call_a", "f"),
    ToolCallArguments(0, '{"a":1}'),
    ToolCallEnd(0, is_whole=True),
    ToolCallBegin(1, "call_b", "g"),
    ToolCallArguments(1, "{}"),
    ToolCallEnd(1, is_whole=True),
)


@st.composite
def _answers(draw: st.DrawFn) -> tuple[Delta, ...]:
    texts = st.text(min_size=1, max_size=3)
    deltas: list[Delta] = [ReasoningDelta(text) for text in draw(st.lists(texts, max_size=3))]
    deltas += [TextDelta(text) for text in draw(st.lists(texts, max_size=3))]
    for index in range(draw(st.integers(0, 3))):
        deltas.append(ToolCallBegin(index, f"call_{index}", "f"))
        objects = st.dictionaries(texts, texts, min_size=1, max_size=2)
        arguments = msgspec.json.encode(draw(objects)).decode()
        deltas.append(ToolCallArguments(index, arguments))
        deltas.append(ToolCallEnd(index, is_whole=True))
        deltas += [TextDelta(text) for text in draw(st.lists(texts, max_size=1))]
    return tuple(deltas)


USAGE = Usage(5, 4, 3, 2)


def whole(deltas: tuple[Delta, ...], reason: FinishReason = "stop") -> dict[str, Any]:
    answer = Answer(Piece(deltas), Finished(reason, USAGE))
    return json.loads(ChatTeller(HEAD, 1, tells_tokens=False).whole([answer]))["choices"][0]


def lines_of(deltas: tuple[Delta, ...], reason: FinishReason | None = None) -> list[bytes]:
    """A stream's lines, from its first piece on; without a reason only those of the pieces."""
    teller = ChatTeller(HEAD, 1, tells_tokens=False)
    told = teller.tell(Piece(deltas))
    if reason is not None:
        told += teller.tell(Finished(reason, USAGE)) + teller.close()
    return [line for line in told.split(b"\n") if line]


def test_neighbours_of_a_kind_melt_and_nothing_else() -> None:
    deltas = (TextDelta("a"), TextDelta("b"), *CALLED[2:], TextDelta("c"))
    assert melted(deltas) == (TextDelta("ab"), *CALLED[2:], TextDelta("c"))


@given(_answers())
def test_melting_changes_nothing_that_is_said(deltas: tuple[Delta, ...]) -> None:
    assert whole(melted(deltas)) == whole(deltas)
    assert melted(melted(deltas)) == melted(deltas)


def streamed(deltas: tuple[Delta, ...], reason: FinishReason = "stop") -> dict[str, Any]:
    """The choice as a client puts it together out of a stream's chunks."""
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": []}
    finish_reason = None
    for line in lines_of(deltas, reason)[:-1]:  # the last one says that it is
        for choice in json.loads(line.removeprefix(b"data: "))["choices"]:
            finish_reason = choice["finish_reason"]
            for name in ("content", "reasoning_content"):
                message[name] += choice["delta"].get(name) or ""
            for call in choice["delta"].get("tool_calls", ()):
                _put_together(message["tool_calls"], call)
    return {"message": message, "finish_reason": finish_reason}


def _put_together(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """A call begins with its id; what comes after that is of the last one."""
    if "id" in part:
        assert part["index"] == len(calls)
        calls.append({name: value for name, value in part.items() if name != "index"})
        return
    assert part["index"] == len(calls) - 1
    calls[-1]["function"]["arguments"] += part["function"]["arguments"]


@given(_answers())
def test_a_stream_says_in_pieces_what_the_whole_reply_does(deltas: tuple[Delta, ...]) -> None:
    at_once, in_pieces = whole(deltas), streamed(deltas)
    for name, said_in_pieces in in_pieces["message"].items():
        assert said_in_pieces == (at_once["message"].get(name) or type(said_in_pieces)())
    assert in_pieces["finish_reason"] == at_once["finish_reason"]


@given(_answers())
def test_words_and_thoughts_are_read_back_as_they_were_told(deltas: tuple[Delta, ...]) -> None:
    reader = StreamReader()
    events = [event for line in lines_of(deltas, "stop") for event in reader.read_line(line)]
    read = tuple(d for e in events if isinstance(e, Piece) for d in e.deltas)
    assert read == tuple(d for d in deltas if isinstance(d, TextDelta | ReasoningDelta))
    assert events[-1] == Finished("stop", USAGE)


def _arguments(deltas: tuple[Delta, ...], reason: FinishReason) -> str:
    """Those of the first call: the same in the whole reply and in its stream."""
    [told, call] = [way(deltas, reason)["message"]["tool_calls"][0] for way in (streamed, whole)]
    assert told == call
    return call["function"]["arguments"]


def test_arguments_that_are_no_json_are_mended_on_the_way() -> None:
    begin, end = ToolCallBegin(0, "call_a", "f"), ToolCallEnd(0, is_whole=False)
    texts = (r'{"path": "C:\d', r'ir", "n": 1, "m": oo')
    broken = (begin, *(ToolCallArguments(0, text) for text in texts), end)
    for deltas in (broken, (*broken, TextDelta("So."))):
        assert json.loads(_arguments(deltas, "stop")) == {"path": r"C:\dir", "n": 1}


def test_arguments_cut_off_are_not_closed() -> None:
    begin, end = ToolCallBegin(0, "call_a", "f"), ToolCallEnd(0, is_whole=False)
    cut = (begin, ToolCallArguments(0, '{"a": "b'), end)
    assert _arguments(cut, "length") == _arguments(cut, "context") == '{"a":"b'


def test_a_whole_reply_holds_what_there_is_and_no_more() -> None:
    choice = whole(CALLED)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "I look.",
        "refusal": None,
        "reasoning_content": "hm",
        "tool_calls": [
            {
                "id": "call_a",
                "type": "function",
                "function": {"name": "f", "arguments": '{"a":1}'},
            },
            {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    assert whole(CALLED[2:])["message"]["content"] is None
    assert whole(())["message"] == {"role": "assistant", "content": "", "refusal": None}
    assert whole(CALLED[:4], "length")["finish_reason"] == "length"
    assert whole(CALLED[:2])["finish_reason"] == "stop"


def test_an_answer_s_calls_are_as_a_client_sends_them_back() -> None:
    assert said(CALLED).calls == (
        ToolCall("call_a", "f", '{"a":1}'),
        ToolCall("call_b", "g", "{}"),
    )


def test_ids_and_names_are_told_once() -> None:
    chunks = [json.loads(line.removeprefix(b"data: ")) for line in lines_of(CALLED)]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[2] == {
        "tool_calls": [
            {
                "index": 0,
                "id": "call_a",
                "type": "function",
                "function": {"name": "f", "arguments": ""},
            }
        ]
    }
    assert deltas[3] == {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}
    assert json.dumps(deltas).count("call_b") == 1
