"""The plain completions dialect, read strictly: what may come, in which order, and nothing else.

A stream and a whole reply are read into one form. Whatever breaks a rule of it raises
AssertionError with the rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .chat import check_usage
from .sse import (
    Comment,
    Event,
    Json,
    check_openai_error,
    has_keys,
    hold,
    is_id,
    only_events,
)

_LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


@dataclass(slots=True)
class TextChoice:
    text: str = ""
    logprobs: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    finish_reason: str | None = None


@dataclass(slots=True)
class TextReply:
    choices: dict[int, TextChoice] = field(default_factory=dict[int, TextChoice])
    usage: Json | None = None
    error: Json | None = None

    @property
    def gist(self) -> list[tuple[Any, ...]]:
        return [
            (index, choice.text, choice.logprobs, choice.finish_reason)
            for index, choice in sorted(self.choices.items())
        ]


def read_whole(body: Json) -> TextReply:
    has_keys(body, "a reply", "id object created model choices usage", "system_fingerprint")
    _check_head(body)
    check_usage(body["usage"])
    reply = TextReply(usage=body["usage"])
    for place, told in enumerate(body["choices"]):
        hold(told["index"] == place, f"choice {place} has index {told['index']}")
        _take(reply, told)
    _check_end(reply)
    return reply


def _check_head(body: Json) -> None:
    hold(body["object"] == "text_completion", f"object is {body['object']!r}")
    hold(is_id(body["id"], "cmpl-"), f"id is {body['id']!r}")


def _take(reply: TextReply, told: Json) -> None:
    has_keys(told, "a choice", "index text logprobs finish_reason", "token_ids")
    choice = reply.choices.setdefault(told["index"], TextChoice())
    hold(choice.finish_reason is None, f"a piece after the end of choice {told['index']}")
    hold(isinstance(told["text"], str), f"text is {told['text']!r}")
    choice.text += told["text"]
    choice.finish_reason = told["finish_reason"]
    if told["logprobs"] is not None:
        has_keys(told["logprobs"], "logprobs", " ".join(_LISTS))
        hold(len({len(told["logprobs"][name]) for name in _LISTS}) == 1, "lists not parallel")
        for name in _LISTS:
            choice.logprobs.setdefault(name, []).extend(told["logprobs"][name])


def _check_end(reply: TextReply) -> None:
    hold(sorted(reply.choices) == list(range(len(reply.choices))), "a choice is missing")
    for index, choice in reply.choices.items():
        reason = choice.finish_reason
        hold(reason in ("stop", "length"), f"choice {index} ends with {reason!r}")
        offsets = choice.logprobs.get("text_offset", [])
        hold(offsets == sorted(offsets), f"offsets go back: {offsets}")


def read_stream(parsed: list[Event | Comment], *, include_usage: bool = False) -> TextReply:
    events = only_events(parsed)
    hold(all(event.name is None for event in events), "a chunk with an event: line")
    hold(events and events[-1].data == "[DONE]", "the stream does not end with [DONE]")
    reply = TextReply()
    ids: set[tuple[Any, ...]] = set()
    for event in events[:-1]:
        chunk = event.value
        hold(reply.error is None and reply.usage is None, f"an event too late: {chunk}")
        if "error" in chunk:
            check_openai_error(chunk)
            reply.error = chunk["error"]
            continue
        optional = "system_fingerprint" + (" usage" if include_usage else "")
        has_keys(chunk, "a chunk", "id object created model choices", optional)
        _check_head(chunk)
        ids.add((chunk["id"], chunk["created"], chunk["model"]))
        hold(len(ids) == 1, f"chunks of one reply disagree: {ids}")
        _take_chunk(reply, chunk, include_usage=include_usage)
    if reply.error is None:
        _check_end(reply)
        hold((reply.usage is not None) == include_usage, "no usage, though it was asked for")
    return reply


def _take_chunk(reply: TextReply, chunk: Json, *, include_usage: bool) -> None:
    if chunk["choices"]:
        hold(not include_usage or chunk["usage"] is None, f"usage is not null yet: {chunk}")
        for told in chunk["choices"]:
            _take(reply, told)
        return
    hold(include_usage, f"a chunk without choices that nobody asked for: {chunk}")
    check_usage(chunk["usage"])
    reply.usage = chunk["usage"]
