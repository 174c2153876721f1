"""Answers told as Responses: the order of events, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseStreamEvent

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    EngineFailed,
    InsufficientVram,
    MemoryShortage,
    ModelInvalid,
    Overloaded,
)
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
from cortex.engine.types import FinishReason, ScoredToken, TokenLogprob
from cortex.peer.api.errors import About, tell
from cortex.peer.dialects.asked import Answer
from cortex.peer.dialects.decoding import read_body
from cortex.peer.dialects.errors import ToldError
from cortex.peer.dialects.responses.body import ResponsesBody
from cortex.peer.dialects.responses.echo import read_echo
from cortex.peer.dialects.responses.stream import Manner, ResponseTeller, new_response
from cortex.peer.dialects.responses.toolbox import ToolName
from cortex.peer.errors import AttemptsExhausted, RateLimitExceeded

Read = Callable[[bytes], dict[str, Any]]
TOOLS = {
    "ns__f": ToolName("f", "ns"),
    "patch": ToolName("patch", is_custom=True),
    "ns__edit": ToolName("edit", "ns", is_custom=True),
}
ID = "resp_0123456789ab"
ECHO = read_echo(read_body(b'{"model":"m","input":"hi"}', ResponsesBody))
BEGUN = new_response(ID, 1_700_000_000, "m", ECHO)
PLAIN = Manner(tools=TOOLS)
SUMMARISED = Manner(summarises=True, tools=TOOLS)
DIED = ToldError(502, "server_error", "engine_failed", "it died")
USAGE = Usage(10, 5, 4, 2)


class Told:
    """A stream, and the whole reply that says the same."""

    def __init__(self, manner: Manner = PLAIN) -> None:
        self.teller, self._whole = (
            ResponseTeller(BEGUN, manner, lambda: 1_700_000_003.7) for _ in range(2)
        )
        self.wire = self.teller.open(Accepted(10, (), 5))
        self._pieces: list[Piece] = []

    def push(self, *deltas: Delta, logprobs: tuple[TokenLogprob, ...] = ()) -> Told:
        self._pieces.append(Piece(deltas, (), logprobs))
        self.wire += self.teller.tell(self._pieces[-1])
        return self

    def finish(self, reason: FinishReason = "stop") -> Told:
        finished = Finished(reason, USAGE)
        self.wire += self.teller.tell(finished) + self.teller.close()
        deltas = tuple(delta for piece in self._pieces for delta in piece.deltas)
        logprobs = tuple(entry for piece in self._pieces for entry in piece.logprobs)
        answer = Answer(Piece(deltas, (), logprobs), finished)
        self.last: dict[str, Any] = json.loads(self._whole.whole([answer]))
        return self

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self.wire.decode().split("\n")
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]


def called(index: int, name: str, *arguments: str, is_whole: bool = True) -> tuple[Delta, ...]:
    pieces = (ToolCallArguments(index, text) for text in arguments)
    return (ToolCallBegin(index, f"call_{index}", name), *pieces, ToolCallEnd(index, is_whole))


@st.composite
def answers(draw: st.DrawFn) -> list[Delta]:
    """Anything an engine may say: runs of text and thought, and calls, some cut or broken."""
    texts = st.text(min_size=1, max_size=4)
    deltas: list[Delta] = []
    num_calls = 0
    for kind in draw(st.lists(st.sampled_from("rrttcp"), max_size=8)):
        if kind == "r":
            deltas.append(ReasoningDelta(draw(texts)))
        elif kind == "t":
            deltas.append(TextDelta(draw(texts)))
        else:
            name = draw(st.sampled_from([*TOOLS, "f", "nobody knows"]))
            as_json = texts.map(lambda text: json.dumps({"input": text}))
            pieces = draw(st.lists(texts | as_json, max_size=3))
            deltas += called(num_calls, name, *pieces, is_whole=draw(st.booleans()))
            num_calls += 1
    return deltas


@st.composite
def cuts(draw: st.DrawFn, deltas: Sequence[Delta]) -> list[tuple[Delta, ...]]:
    pieces: list[list[Delta]] = [[]]
    for delta in deltas:
        if draw(st.booleans()):
            pieces.append([])
        pieces[-1].append(delta)
    return [tuple(piece) for piece in pieces]


reasons = st.sampled_from(["stop", "length", "context", "cancelled"])
manners = st.sampled_from([PLAIN, SUMMARISED])


@pytest.fixture(scope="module")
def accumulate() -> Callable[[bytes], Any]:
    """The official client's own reading of a stream."""
    body = b""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})

    client = OpenAI(
        api_key="k",
        base_url="http://cortex.test/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )

    def read(stream: bytes) -> Any:
        nonlocal body
        body = stream
        with client.responses.stream(model="m", input="hi") as events:
            for _ in events:
                pass
            return events.get_final_response()

    return read


@given(st.data(), answers(), manners, reasons)
def test_any_answer_is_told_in_the_dialects_order_and_ends_as_the_whole_reply(
    read_stream: Read,
    data: st.DataObject,
    deltas: list[Delta],
    manner: Manner,
    reason: FinishReason,
):
    told = Told(manner)
    for piece in data.draw(cuts(deltas)):
        told.push(*piece)
        if data.draw(st.booleans()):
            told.wire += told.teller.keep_alive()
    told.finish(reason)
    assert read_stream(told.wire) == told.last


@given(answers(), manners)
def test_the_official_client_reads_any_answer(
    accumulate: Callable[[bytes], Any], deltas: list[Delta], manner: Manner
):
    told = Told(manner).push(*deltas).finish()
    final = accumulate(told.wire)
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert final.output_text == text
    assert [item.id for item in final.output] == [item["id"] for item in told.last["output"]]


@given(answers(), manners, st.sampled_from(["stop", "length"]))
def test_every_event_is_of_the_official_clients_types(
    deltas: list[Delta], manner: Manner, reason: FinishReason
):
    told = Told(manner).push(*deltas).finish(reason)
    event_type: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
    for event in told.events:
        event_type.validate_json(json.dumps(event))
    SdkResponse.model_validate_json(json.dumps(told.last))


def test_thought_text_and_calls_are_items_in_the_order_made():
    told = Told().push(
        ReasoningDelta("hm"),
        TextDelta("I look."),
        *called(0, "g", '{"a":', "1}"),
        *called(1, "ns__f", "{}"),
        *called(2, "patch", '{"input":"*** ', 'Begin\\n"}'),
        TextDelta("Done."),
    )
    output = told.finish().last["output"]
    own = "0123456789ab"
    assert output == [
        {
            "type": "reasoning",
            "id": f"rs_{own}0000",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
            "encrypted_content": None,
        },
        _message(1, "I look."),
        {
            "type": "function_call",
            "id": f"fc_{own}0002",
            "call_id": "call_0",
            "name": "g",
            "arguments": '{"a":1}',
            "status": "completed",
        },
        {
            "type": "function_call",
            "id": f"fc_{own}0003",
            "call_id": "call_1",
            "name": "f",
            "namespace": "ns",
            "arguments": "{}",
            "status": "completed",
        },
        {
            "type": "custom_tool_call",
            "id": f"ctc_{own}0004",
            "call_id": "call_2",
            "name": "patch",
            "input": "*** Begin\n",
            "status": "completed",
        },
        _message(5, "Done."),
    ]


def _message(index: int, text: str) -> dict[str, Any]:
    part: dict[str, Any] = {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": [],
    }
    return {
        "type": "message",
        "id": f"msg_0123456789ab{index:04x}",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def test_a_completed_response_says_all_that_the_dialect_lists():
    assert Told().finish().last == {
        "id": ID,
        "object": "response",
        "created_at": 1_700_000_000,
        "completed_at": 1_700_000_003,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "m",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "top_p": None,
        "top_logprobs": 0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "truncation": "disabled",
        "max_output_tokens": None,
        "metadata": {},
        "background": False,
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 15,
        },
    }


def test_a_message_is_told_piece_by_piece():
    told = Told().push(TextDelta("a")).push(TextDelta("b")).finish()
    assert told.kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_a_summary_is_told_in_summary_events_alone():
    told = Told(SUMMARISED).push(ReasoningDelta("hm")).finish()
    assert told.kinds[2:-1] == [
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
    ]
    item = told.last["output"][0]
    assert (item["summary"], item["content"]) == ([{"type": "summary_text", "text": "hm"}], [])


def test_an_answer_cut_off_is_incomplete_with_its_last_item():
    last = Told().push(*called(0, "g", "{}"), TextDelta("so f")).finish("length").last
    assert last["status"] == "incomplete"
    assert last["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in last["output"]] == ["completed", "incomplete"]
    assert last["completed_at"] is None


def test_a_call_that_is_not_whole_is_incomplete():
    last = Told().push(*called(0, "g", '{"a": "b', is_whole=False)).finish("length").last
    assert last["output"][0] | {"id": ""} == {
        "type": "function_call",
        "id": "",
        "call_id": "call_0",
        "name": "g",
        "arguments": '{"a":"b',
        "status": "incomplete",
    }


def test_arguments_that_are_no_json_are_mended_and_those_of_free_text_are_not():
    broken = r'{"path": "C:\dir", "n": 1,}'
    told: list[dict[str, Any]] = []
    for name in ("g", "patch"):
        told += Told().push(*called(0, name, broken, is_whole=False)).finish().last["output"]
    assert [json.loads(told[0]["arguments"]), told[0]["status"]] == [
        {"path": r"C:\dir", "n": 1},
        "completed",
    ]
    assert (told[1]["input"], told[1]["status"]) == (broken, "incomplete")


@pytest.mark.parametrize(
    ("arguments", "mended", "is_whole"),
    [
        ('{"a": 1, "b": oops}', '{"a":1}', False),
        ('{"a": 1, "b": "tex', '{"a":1,"b":"tex"}', False),
        (f'{{"b": {"[" * 200}{"]" * 200}}}', f'{{"b":{"[" * 127}{"]" * 127}}}', True),
    ],
)
def test_a_call_that_lost_values_is_incomplete_and_its_arguments_are_json(
    arguments: str, mended: str, *, is_whole: bool
):
    last = Told().push(*called(0, "g", arguments, is_whole=is_whole)).finish().last
    [call] = last["output"]
    assert (call["arguments"], call["status"]) == (mended, "incomplete")


@given(answers(), manners)
def test_a_failure_ends_the_stream_with_nothing_left_open(
    read_stream: Read, deltas: list[Delta], manner: Manner
):
    told = Told(manner).push(*deltas)
    told.wire += told.teller.fail(DIED)
    last = read_stream(told.wire)
    assert last["status"] == "failed"
    assert last["error"] == {"code": "engine_failed", "message": "it died"}
    assert last["usage"] is None


def test_a_failure_before_anybody_took_it_ends_a_response_that_was_created(read_stream: Read):
    teller = ResponseTeller(BEGUN, PLAIN, lambda: 1_700_000_003.7)
    assert read_stream(teller.fail(DIED))["error"]["code"] == "engine_failed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineFailed("it died"), "engine_failed"),
        (Overloaded("full"), "overloaded"),
        (RateLimitExceeded("often"), "rate_limit_exceeded"),
        (ContextLengthExceeded("long"), "context_length_exceeded"),
        (ModelInvalid("a tensor is missing"), "invalid_prompt"),
        (AttemptsExhausted("thrice"), "invalid_prompt"),
        (InsufficientVram("full", shortage=MemoryShortage(2, 1, False)), "insufficient_vram"),
        (InsufficientVram("small", shortage=MemoryShortage(2, 1, True)), "invalid_prompt"),
    ],
)
def test_what_would_fail_again_is_told_so_that_no_client_sends_it_again(
    read_stream: Read, error: CortexError, code: str
):
    told = Told()
    told.wire += told.teller.fail(tell(error, About()))
    assert read_stream(told.wire)["error"]["code"] == code


@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [(None, "failed", "context_length_exceeded"), (4096, "incomplete", None)],
)
def test_an_answer_that_fills_the_context_is_cut_by_the_limit_that_was_asked_for(
    read_stream: Read, limit: int | None, status: str, code: str | None
):
    begun = BEGUN | {"max_output_tokens": limit}
    teller = ResponseTeller(begun, PLAIN, lambda: 1_700_000_003.7)
    wire = teller.open(Accepted(10, (), 5)) + teller.tell(Piece((TextDelta("so f"),)))
    last = read_stream(wire + teller.tell(Finished("context", USAGE)) + teller.close())
    assert (last["status"], (last["error"] or {}).get("code")) == (status, code)
    assert last["output"][0]["content"][0]["text"] == "so f"
    assert last["usage"]["output_tokens"] == 5


def test_a_cancelled_answer_does_not_end_like_a_finished_one():
    last = Told().push(TextDelta("so f")).finish("cancelled").last
    assert (last["status"], last["error"]["code"]) == ("failed", "cancelled")


def test_log_probabilities_ride_with_the_text_they_made():
    first = TokenLogprob(ScoredToken(b"\xc3", -0.5), (ScoredToken(b"a", -1.0),))
    second = TokenLogprob(ScoredToken(b"\xa4", -0.25))
    third = TokenLogprob(ScoredToken(b" ", -0.125))
    told = Told().push(logprobs=(first,)).push(TextDelta("ä"), logprobs=(second,))
    told.push(logprobs=(third,)).finish()
    delta = next(event for event in told.events if event["type"] == "response.output_text.delta")
    assert delta["logprobs"] == [
        {
            "token": "�",
            "logprob": -0.5,
            "bytes": [0xC3],
            "top_logprobs": [{"token": "a", "logprob": -1.0, "bytes": [97]}],
        },
        {"token": "�", "logprob": -0.25, "bytes": [0xA4], "top_logprobs": []},
    ]
    part = told.last["output"][0]["content"][0]
    assert [entry["logprob"] for entry in part["logprobs"]] == [-0.5, -0.25, -0.125]
