"""A strict reader of Responses streams: it takes only the order of events that the dialect has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Read = Callable[[bytes], dict[str, Any]]
_ENDS = ("response.completed", "response.incomplete", "response.failed")
# Of each kind of part: what adds it, carries its text, ends the text, ends it, and its index.
_PARTS = {
    "output_text": ("content_part", "output_text", "content_index"),
    "reasoning_text": ("content_part", "reasoning_text", "content_index"),
    "summary_text": ("reasoning_summary_part", "reasoning_summary_text", "summary_index"),
}
_CALLS = {
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}
_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
}


def split_events(stream: bytes) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == ""
    for block in blocks:
        kind, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


class _Reader:
    def __init__(self, stream: bytes) -> None:
        self._events = split_events(stream)
        self._done: list[dict[str, Any]] = []

    def read(self) -> dict[str, Any]:
        created = self._take("response.created")["response"]
        assert created["id"].startswith("resp_")
        assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
        while self._next not in _ENDS:
            if self._next == "response.in_progress":
                assert self._take("response.in_progress")["response"] == created
            else:
                self._read_item()
        event = self._take(self._next)
        last = event["response"]
        assert not self._events
        assert event["type"] == f"response.{last['status']}"
        assert last["output"] == self._done
        changing = {"status", "output", "usage", "completed_at", "error", "incomplete_details"}
        assert all(last[name] == created[name] for name in created.keys() - changing)
        return last

    @property
    def _next(self) -> str:
        self._skip_keep_alives()
        return self._events[0]["type"]

    def _skip_keep_alives(self) -> None:
        while len(self._events) > 1 and self._events[0]["type"] == "response.in_progress":
            assert self._events.pop(0)["response"]["output"] == []

    def _take(self, kind: str, **values: Any) -> dict[str, Any]:
        assert self._next == kind
        event = self._events.pop(0)
        assert {name: event[name] for name in values} == values
        return event

    def _read_item(self) -> None:
        place = {"output_index": len(self._done)}
        item = self._take("response.output_item.added", **place)["item"]
        kind = item["type"]
        assert item["status"] == "in_progress"
        assert item["id"].startswith(_PREFIXES[kind])
        assert item["id"] not in [done["id"] for done in self._done]
        place["item_id"] = item["id"]
        known = self._read_call(item, place) if kind in _CALLS else self._read_part(item, place)
        done = self._take("response.output_item.done", output_index=len(self._done))["item"]
        assert done["status"] in ("completed", "incomplete")
        assert done == {**item, **known, "status": done["status"]}
        self._done.append(done)

    def _read_call(self, item: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
        name, field = _CALLS[item["type"]]
        assert item[field] == ""
        text = self._read_pieces(f"response.{name}.delta", place)
        names = {"name": item["name"]} if item["type"] == "function_call" else {}
        self._take(f"response.{name}.done", **place, **{field: text}, **names)
        return {field: text}

    def _read_part(self, item: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
        is_summary = self._next == "response.reasoning_summary_part.added"
        expected = "output_text" if item["type"] == "message" else "reasoning_text"
        kind = "summary_text" if is_summary else expected
        assert kind == expected or item["type"] == "reasoning"
        part_name, text_name, index_name = _PARTS[kind]
        place = {**place, index_name: 0}
        part = self._take(f"response.{part_name}.added", **place)["part"]
        assert (part["type"], part["text"]) == (kind, "")
        logprobs: list[Any] = []
        text = self._read_pieces(f"response.{text_name}.delta", place, logprobs)
        done = self._take(f"response.{text_name}.done", **place, text=text)
        part = {**part, "text": text}
        if kind == "output_text":
            assert done["logprobs"][: len(logprobs)] == logprobs
            part["logprobs"] = done["logprobs"]
        self._take(f"response.{part_name}.done", **place, part=part)
        return {"summary" if is_summary else "content": [part]}

    def _read_pieces(
        self, kind: str, place: dict[str, Any], logprobs: list[Any] | None = None
    ) -> str:
        text = ""
        while self._next == kind:
            event = self._take(kind, **place)
            text += event["delta"]
            assert event["delta"]
            if logprobs is not None:
                logprobs += event.get("logprobs", [])
        return text


@pytest.fixture(scope="session")
def read_stream() -> Read:
    """The response that the stream ends with; fails where the stream breaks a rule."""
    return lambda stream: _Reader(stream).read()
