"""The messages dialect, read strictly: what may come, in which order, and nothing else.

A stream and a whole reply are read into one form. Whatever breaks a rule of it raises
AssertionError with the rule.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .sse import (
    Comment,
    Event,
    Json,
    broken,
    check_messages_error,
    has_keys,
    hold,
    is_count,
    is_id,
    is_json_object,
)

_STOP_REASONS = """end_turn max_tokens stop_sequence tool_use model_context_window_exceeded
    refusal""".split()  # noqa: SIM905
_INPUT_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_BLANK: dict[str, Json] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
# The delta of each kind of block, the field it carries, and the block's field that it grows.
_DELTAS = {
    "text_delta": ("text", "text", "text"),
    "thinking_delta": ("thinking", "thinking", "thinking"),
    "input_json_delta": ("tool_use", "partial_json", "partial_json"),
    "signature_delta": ("thinking", "signature", "signature"),
}


@dataclass(slots=True)
class MessagesReply:
    id: str = ""
    model: str = ""
    content: list[Json] = field(default_factory=list[Json])
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Json = field(default_factory=dict[str, Any])
    error: Json | None = None

    @property
    def gist(self) -> tuple[Any, ...]:
        """What stays the same when the request is sent again."""
        blocks = [
            {name: value for name, value in block.items() if name not in ("id", "signature")}
            for block in self.content
        ]
        return (blocks, self.stop_reason, self.stop_sequence, self.usage.get("output_tokens"))


def read_whole(body: Json) -> MessagesReply:
    names = "id type role model content stop_reason stop_sequence usage"
    has_keys(body, "a message", names)
    _check_head(body)
    for block in body["content"]:
        _check_block(block)
    usage = body["usage"]
    reply = MessagesReply(
        body["id"], body["model"], body["content"], body["stop_reason"], body["stop_sequence"],
        usage,
    )  # fmt: skip
    _check_end(reply)
    return reply


def _check_head(message: Json) -> None:
    hold(is_id(message["id"], "msg_"), f"id is {message['id']!r}")
    hold(message["type"] == "message", f"type is {message['type']!r}")
    hold(message["role"] == "assistant", f"role is {message['role']!r}")


def _check_block(block: Json) -> None:
    match block.get("type"):
        case "text":
            has_keys(block, "a text block", "type text")
        case "thinking":
            has_keys(block, "a thinking block", "type thinking signature")
            hold(block["signature"], "a thinking block without a signature")
        case "tool_use":
            has_keys(block, "a call", "type id name input")
            hold(is_id(block["id"], "toolu_"), f"a call's id is {block['id']!r}")
            hold(isinstance(block["input"], dict), f"a call's input is {block['input']!r}")
        case other:
            broken(f"a block of type {other!r}")


def _check_end(reply: MessagesReply) -> None:
    hold(reply.content, "a reply without any block")
    kinds = [block["type"] for block in reply.content]
    thinking = [kind == "thinking" for kind in kinds]
    hold(thinking == sorted(thinking, reverse=True), f"thinking comes after others: {kinds}")
    reason = reply.stop_reason
    hold(reason in _STOP_REASONS, f"stop_reason is {reason!r}")
    cut_off = ("max_tokens", "model_context_window_exceeded")
    if "tool_use" in kinds:
        hold(reason == "tool_use" or reason in cut_off, f"calls, but stop_reason {reason!r}")
    hold(reason != "tool_use" or "tool_use" in kinds, "stop_reason tool_use without a call")
    is_stopped = reason == "stop_sequence"
    hold(is_stopped == (reply.stop_sequence is not None), f"stop_sequence with {reason!r}")
    ids = [block["id"] for block in reply.content if "id" in block]
    hold(len(set(ids)) == len(ids), "two calls share an id")
    _check_usage(reply.usage)


def _check_usage(usage: Json) -> None:
    names = " ".join((*_INPUT_COUNTS, "output_tokens"))
    has_keys(usage, "usage", names, "output_tokens_details service_tier")
    hold(all(is_count(usage[name]) for name in names.split()), f"usage is {usage}")


def prompt_total(usage: Json) -> int:
    return sum(usage[name] for name in _INPUT_COUNTS)


class _Stream:
    """One reply on its way; `feed` takes its events in order."""

    def __init__(self) -> None:
        self.reply = MessagesReply()
        self._has_begun = False
        self._has_pinged = False
        self._is_closing = False  # message_delta has come
        self._has_ended = False
        self._open: Json | None = None

    def feed(self, event: Event) -> None:
        value = event.value
        kind = value.get("type")
        hold(event.name == kind, f"event: {event.name} with type {kind!r}")
        hold(not self._has_ended and self.reply.error is None, f"{kind} after the end")
        if kind == "error":
            check_messages_error(value, in_stream=True)
            self.reply.error = value["error"]
            return
        hold(self._has_begun == (kind != "message_start"), f"{kind} at the wrong time")
        hold(self._has_pinged or kind in ("message_start", "ping"), f"{kind} before the ping")
        match kind:
            case "message_start":
                self._start(value)
            case "ping":
                has_keys(value, "a ping", "type")
                self._has_pinged = True
            case "message_delta":
                self._close(value)
            case "message_stop":
                self._stop(value)
            case _:
                hold(not self._is_closing, f"{kind} after message_delta")
                self._take_block(str(kind), value)

    def end(self) -> MessagesReply:
        if self.reply.error is None:
            hold(self._has_ended, "the stream stops before message_stop")
            _check_end(self.reply)
        return self.reply

    def _start(self, value: Json) -> None:
        has_keys(value, "message_start", "type message")
        message = value["message"]
        names = "id type role model content stop_reason stop_sequence usage"
        has_keys(message, "the begun message", names)
        _check_head(message)
        hold(message["content"] == [], f"a message begins with {message['content']}")
        hold(message["stop_reason"] is None, "a message begins with a stop_reason")
        hold(message["stop_sequence"] is None, "a message begins with a stop_sequence")
        _check_usage(message["usage"])
        hold(prompt_total(message["usage"]) > 0, f"no input is counted: {message['usage']}")
        self._has_begun = True
        self.reply.id, self.reply.model = message["id"], message["model"]
        self.reply.usage = message["usage"]

    def _take_block(self, kind: str, value: Json) -> None:
        if kind == "content_block_start":
            self._open_block(value)
            return
        block = self._open
        if block is None:
            broken(f"{kind} with no block open")
        hold(value["index"] == len(self.reply.content), f"{kind} of block {value['index']}")
        if kind == "content_block_delta":
            has_keys(value, kind, "type index delta")
            self._grow(block, value["delta"])
        elif kind == "content_block_stop":
            has_keys(value, kind, "type index")
            self._close_block(block)
        else:
            broken(f"an event of type {kind!r}")

    def _open_block(self, value: Json) -> None:
        has_keys(value, "content_block_start", "type index content_block")
        hold(self._open is None, "a block begins inside another")
        hold(value["index"] == len(self.reply.content), f"block {value['index']} out of turn")
        block = dict(value["content_block"])
        if block["type"] == "tool_use":
            has_keys(block, "a call", "type id name input")
            hold(block["input"] == {}, f"a call begins with {block['input']}")
            block["partial_json"] = ""
        else:
            hold(block == _BLANK.get(block["type"]), f"a block begins as {block}")
        self._open = block

    def _grow(self, block: Json, delta: Json) -> None:
        kind, told, grown = _DELTAS.get(delta.get("type", ""), ("", "", ""))
        hold(kind == block["type"], f"{delta} in a {block['type']} block")
        has_keys(delta, "a delta", f"type {told}")
        is_signed = block.get("signature", "") != ""
        hold(not is_signed, f"a delta after the signature: {delta}")
        block[grown] += delta[told]

    def _close_block(self, block: Json) -> None:
        if block["type"] == "tool_use":
            text = block.pop("partial_json")
            # A call that the limit cut off need not be whole; the end checks why it ended.
            block["input"] = json.loads(text) if is_json_object(text) else {}
            block["is_whole"] = text == "" or is_json_object(text)
        checked = {name: value for name, value in block.items() if name != "is_whole"}
        _check_block(checked)
        self.reply.content.append(block)
        self._open = None

    def _close(self, value: Json) -> None:
        has_keys(value, "message_delta", "type delta usage")
        has_keys(value["delta"], "message_delta's delta", "stop_reason stop_sequence")
        hold(not self._is_closing, "a second message_delta")
        hold(self._open is None, "message_delta inside a block")
        _check_usage(value["usage"])
        delta = value["delta"]
        self.reply.stop_reason = delta["stop_reason"]
        self.reply.stop_sequence = delta["stop_sequence"]
        before = prompt_total(self.reply.usage)
        hold(prompt_total(value["usage"]) == before, "the prompt's total changed on the way")
        self.reply.usage = value["usage"]
        for block in self.reply.content:
            is_whole = block.pop("is_whole", True)
            hold(is_whole or delta["stop_reason"] != "tool_use", f"a call is broken: {block}")
        self._is_closing = True

    def _stop(self, value: Json) -> None:
        has_keys(value, "message_stop", "type")
        hold(self._is_closing, "message_stop before message_delta")
        self._has_ended = True


def read_stream(parsed: list[Event | Comment]) -> MessagesReply:
    stream = _Stream()
    for part in parsed:
        if isinstance(part, Event):
            stream.feed(part)
    return stream.end()
