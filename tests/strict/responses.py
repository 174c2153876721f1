"""The responses dialect, read strictly: what may come, in which order, and nothing else.

A stream and a whole reply are read into one form. Whatever breaks a rule of it raises
AssertionError with the rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .sse import (
    Comment,
    Event,
    Json,
    broken,
    has_keys,
    hold,
    is_count,
    is_id,
    is_json_object,
)

_REQUIRED = """id object created_at status error incomplete_details instructions model output
    parallel_tool_calls previous_response_id reasoning store temperature top_p text tool_choice
    tools truncation max_output_tokens metadata background usage"""
_OPTIONAL = "completed_at top_logprobs service_tier user prompt_cache_key safety_identifier"
_PREFIXES = {
    "reasoning": "rs_",
    "message": "msg_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
}
_ITEM_KEYS = {
    "reasoning": ("type id summary content encrypted_content status", ""),
    "message": ("type id role status content", ""),
    "function_call": ("type id call_id name arguments status", "namespace"),
    "custom_tool_call": ("type id call_id name input", "status namespace"),
}
_LAST = ("response.completed", "response.incomplete", "response.failed")


@dataclass(slots=True)
class ResponsesReply:
    response: Json = field(default_factory=dict[str, Any])

    @property
    def output(self) -> list[Json]:
        return self.response["output"]

    @property
    def text(self) -> str:
        parts = (part for item in self.output for part in item.get("content") or ())
        return "".join(part["text"] for part in parts if part["type"] == "output_text")

    @property
    def calls(self) -> list[Json]:
        return [item for item in self.output if item["type"].endswith("_call")]

    @property
    def error(self) -> Json | None:
        return self.response["error"]

    @property
    def gist(self) -> tuple[Any, ...]:
        """What stays the same when the request is sent again."""
        items = [
            {name: value for name, value in item.items() if name not in ("id", "call_id")}
            for item in self.output
        ]
        usage = self.response["usage"]["output_tokens"]
        return (items, self.response["status"], self.response["incomplete_details"], usage)


def read_whole(body: Json) -> ResponsesReply:
    _check_response(body)
    hold(body["status"] in ("completed", "incomplete"), f"status is {body['status']!r}")
    _check_end(body)
    return ResponsesReply(body)


def _check_response(response: Json) -> None:
    has_keys(response, "a response", _REQUIRED, _OPTIONAL)
    hold(response["object"] == "response", f"object is {response['object']!r}")
    hold(is_id(response["id"], "resp_"), f"id is {response['id']!r}")
    hold(response["previous_response_id"] is None, "an id of a response that nobody kept")
    hold(response["background"] is False, "a response in the background")


def _check_end(response: Json) -> None:
    status = response["status"]
    hold((status == "failed") == (response["error"] is not None), f"{status} with its error")
    details = response["incomplete_details"]
    hold((status == "incomplete") == (details is not None), f"{status} with {details}")
    if details is not None:
        hold(details == {"reason": "max_output_tokens"}, f"incomplete_details are {details}")
    for place, item in enumerate(response["output"]):
        is_last = place == len(response["output"]) - 1
        _check_item(item, may_be_cut=is_last and status != "completed")
    ids = [item["id"] for item in response["output"]]
    hold(len(set(ids)) == len(ids), f"two items share an id: {ids}")
    if status != "failed":
        _check_usage(response["usage"])


def _check_usage(usage: Json) -> None:
    plain = "input_tokens output_tokens total_tokens"
    has_keys(usage, "usage", f"{plain} input_tokens_details output_tokens_details")
    hold(all(is_count(usage[name]) for name in plain.split()), f"usage is {usage}")
    total = usage["input_tokens"] + usage["output_tokens"]
    hold(usage["total_tokens"] == total, f"the total is off: {usage}")
    cached = usage["input_tokens_details"]["cached_tokens"]
    hold(0 <= cached <= usage["input_tokens"], f"cached tokens are no share: {usage}")
    reasoning = usage["output_tokens_details"]["reasoning_tokens"]
    hold(0 <= reasoning <= usage["output_tokens"], f"reasoning tokens are no share: {usage}")


def _check_item(item: Json, *, may_be_cut: bool) -> None:
    kind = item["type"]
    hold(kind in _PREFIXES, f"an item of type {kind!r}")
    has_keys(item, kind, *_ITEM_KEYS[kind])
    hold(is_id(item["id"], _PREFIXES[kind]), f"the id of a {kind} is {item['id']!r}")
    status = item.get("status", "completed")
    hold(status == "completed" or (may_be_cut and status == "incomplete"), f"status {status!r}")
    match kind:
        case "reasoning":
            hold(item["encrypted_content"] is None, "reasoning that is encrypted")
            has_both = bool(item["summary"]) and bool(item["content"])
            hold(not has_both, "reasoning as content and as summary")
            _check_parts(item["content"] or (), "reasoning_text", "type text")
            _check_parts(item["summary"], "summary_text", "type text")
        case "message":
            hold(item["role"] == "assistant", f"role is {item['role']!r}")
            _check_parts(item["content"], "output_text", "type text annotations logprobs")
        case _:
            hold(is_id(item["call_id"], "call_"), f"call_id is {item['call_id']!r}")
            if kind == "function_call" and status == "completed":
                hold(is_json_object(item["arguments"]), f"arguments are {item['arguments']!r}")


def _check_parts(parts: Any, kind: str, names: str) -> None:
    for part in parts:
        has_keys(part, "a part", names)
        hold(part["type"] == kind, f"a part of type {part['type']!r}")


# What an item says piece by piece: of each family of events the name, the field that its last
# event tells whole, and the field that counts its parts.
_TOLD = {
    "output_text": ("text", "content_index"),
    "reasoning_text": ("text", "content_index"),
    "reasoning_summary_text": ("text", "summary_index"),
    "function_call_arguments": ("arguments", ""),
    "custom_tool_call_input": ("input", ""),
}
_PART_OF = {
    "output_text": "content_part",
    "reasoning_text": "content_part",
    "reasoning_summary_text": "reasoning_summary_part",
}
_ITEM_OF = {
    "output_text": "message",
    "reasoning_text": "reasoning",
    "reasoning_summary_text": "reasoning",
    "function_call_arguments": "function_call",
    "custom_tool_call_input": "custom_tool_call",
}
_EMPTY_PART: dict[str, Json] = {
    "output_text": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
    "reasoning_text": {"type": "reasoning_text", "text": ""},
    "summary_text": {"type": "summary_text", "text": ""},
}


@dataclass(slots=True)
class _Item:
    """The item that is open. `texts` are its parts' texts, told whole; `said` is the open one's."""

    added: Json
    texts: list[str] = field(default_factory=list[str])
    said: str = ""
    has_open_part: bool = False
    is_told: bool = False  # the open part's, or the item's own, text has been told whole


class _Stream:
    """One response on its way; `feed` takes its events in order."""

    def __init__(self) -> None:
        self.reply = ResponsesReply()
        self._num_events = 0
        self._first: Json | None = None
        self._done: list[Json] = []
        self._open: _Item | None = None
        self._has_ended = False

    def feed(self, event: Event) -> None:
        value = event.value
        kind = str(value.get("type"))
        hold(event.name == kind, f"event: {event.name} with type {kind!r}")
        number = value.get("sequence_number")
        hold(number == self._num_events, f"event {self._num_events} has the number {number}")
        hold(not self._has_ended, f"{kind} after the end")
        expected = ("response.created", "response.in_progress")
        if self._num_events < len(expected):
            hold(kind == expected[self._num_events], f"event {self._num_events} is {kind}")
        self._num_events += 1
        if kind in ("response.created", "response.in_progress"):
            self._take_snapshot(kind, value)
        elif kind in _LAST:
            self._end(kind, value)
        elif kind == "response.output_item.added":
            self._add(value)
        elif kind == "response.output_item.done":
            self._finish(value)
        else:
            self._take_piece(kind, value)

    def end(self) -> ResponsesReply:
        hold(self._has_ended, "the stream stops before its last event")
        return self.reply

    def _take_snapshot(self, kind: str, value: Json) -> None:
        has_keys(value, kind, "type sequence_number response")
        response = value["response"]
        _check_response(response)
        hold(response["status"] == "in_progress", f"{kind} with {response['status']!r}")
        hold(response["output"] == [], f"{kind} with output")
        hold(response["usage"] is None, f"{kind} with usage")
        hold(self._first in (None, response), f"{kind} tells another snapshot")
        hold(self._open is None and not self._done, f"{kind} after an item")
        self._first = response

    def _add(self, value: Json) -> None:
        has_keys(value, "output_item.added", "type sequence_number output_index item")
        hold(self._open is None, "an item begins inside another")
        hold(value["output_index"] == len(self._done), f"item {value['output_index']} out of turn")
        item = value["item"]
        kind = item["type"]
        hold(kind in _PREFIXES, f"an item of type {kind!r}")
        hold(is_id(item["id"], _PREFIXES[kind]), f"the id of a {kind} is {item['id']!r}")
        hold(item.get("status", "in_progress") == "in_progress", f"an item begins as {item}")
        for name in ("content", "summary", "arguments", "input"):
            hold(not item.get(name), f"an item begins with {name}: {item}")
        self._open = _Item(item)

    def _take_piece(self, kind: str, value: Json) -> None:
        item = self._open
        if item is None:
            broken(f"{kind} with no item open")
        hold(value["output_index"] == len(self._done), f"{kind} of item {value['output_index']}")
        hold(value["item_id"] == item.added["id"], f"{kind} of item {value['item_id']!r}")
        _, _, rest = kind.partition("response.")
        family, _, step = rest.rpartition(".")
        if family in _PART_OF.values():
            self._take_part(item, family, step, value)
            return
        hold(family in _TOLD and step in ("delta", "done"), f"an event of type {kind!r}")
        hold(item.added["type"] == _ITEM_OF[family], f"{kind} in a {item.added['type']}")
        whole, place = _TOLD[family]
        if place:
            hold(item.has_open_part, f"{kind} with no part open")
            hold(value[place] == len(item.texts), f"{kind} of part {value[place]}")
        hold(not item.is_told, f"{kind} after its done")
        if step == "delta":
            hold(isinstance(value["delta"], str), f"a delta that is no text: {value}")
            item.said += value["delta"]
            return
        hold(value[whole] == item.said, f"{kind} tells {value[whole]!r} of {item.said!r}")
        if family == "function_call_arguments":
            hold(value["name"] == item.added["name"], f"{kind} names {value['name']!r}")
        item.is_told = True

    def _take_part(self, item: _Item, family: str, step: str, value: Json) -> None:
        place = "summary_index" if family == "reasoning_summary_part" else "content_index"
        hold(value[place] == len(item.texts), f"part {value[place]} out of turn")
        part = value["part"]
        if step == "added":
            hold(not item.has_open_part, "a part begins inside another")
            hold(part == _EMPTY_PART.get(part["type"]), f"a part begins as {part}")
            item.has_open_part, item.said, item.is_told = True, "", False
            return
        hold(step == "done" and item.has_open_part, f"{family}.{step} with no part open")
        hold(item.is_told, "a part ends before its text was told")
        hold(part["text"] == item.said, f"a part ends with {part['text']!r} of {item.said!r}")
        item.texts.append(item.said)
        item.has_open_part = False

    def _finish(self, value: Json) -> None:
        has_keys(value, "output_item.done", "type sequence_number output_index item")
        item = self._open
        if item is None:
            broken("output_item.done with no item open")
        done = value["item"]
        hold(value["output_index"] == len(self._done), f"item {value['output_index']} out of turn")
        hold(not item.has_open_part, "an item ends with a part open")
        for name in ("id", "type", "call_id", "name", "namespace"):
            hold(done.get(name) == item.added.get(name), f"{name} of an item changed: {done}")
        if done["type"] in ("function_call", "custom_tool_call"):
            hold(item.is_told, "a call ends before it was told")
            whole = done["arguments" if done["type"] == "function_call" else "input"]
            hold(whole == item.said, f"a call ends with {whole!r} of {item.said!r}")
        else:
            parts = [*(done.get("summary") or ()), *(done.get("content") or ())]
            texts = [part["text"] for part in parts]
            hold(texts == item.texts, f"an item ends with {texts} of {item.texts}")
        self._done.append(done)
        self._open = None

    def _end(self, kind: str, value: Json) -> None:
        has_keys(value, kind, "type sequence_number response")
        response = value["response"]
        _check_response(response)
        hold(response["status"] == kind.removeprefix("response."), f"{kind} {response['status']}")
        hold(self._first is not None, f"{kind} before response.created")
        assert self._first is not None
        for name in ("id", "created_at", "model"):
            hold(response[name] == self._first[name], f"{name} of the response changed")
        if kind != "response.failed":
            hold(self._open is None, "an item is left open")
            hold(response["output"] == self._done, "the output is not the list of done items")
        _check_end(response)
        self.reply.response = response
        self._has_ended = True


def read_stream(parsed: list[Event | Comment]) -> ResponsesReply:
    """A `[DONE]` at the end does no harm."""
    stream = _Stream()
    events = [part for part in parsed if isinstance(part, Event)]
    if events and events[-1] == Event(None, "[DONE]"):
        events.pop()
    for event in events:
        stream.feed(event)
    return stream.end()
