"""A streamed reply, read by the order of its events, and by the official SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event

Json = dict[str, Any]


def _events(stream: bytes) -> list[Json]:
    events: list[Json] = []
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def _check_order(events: list[Json]) -> None:
    """Start, ping, blocks one after the other and numbered, delta, stop; pings anywhere between."""
    names = [event["type"] for event in events]
    assert names[:2] == ["message_start", "ping"]
    rest = [event for event in events[1:] if event["type"] != "ping"]
    assert [event["type"] for event in rest[-2:]] == ["message_delta", "message_stop"]
    state, num_blocks = "closed", 0
    for event in rest[:-2]:
        match event["type"], state:
            case "content_block_start", "closed":
                assert event["index"] == num_blocks
                state = event["content_block"]["type"]
            case "content_block_delta", "text" | "thinking" | "tool_use":
                kinds = {"text": "text_delta", "tool_use": "input_json_delta"}
                kind = event["delta"]["type"]
                assert kind in (kinds.get(state, "thinking_delta"), "signature_delta")
                assert (event["index"], state == "thinking" or kind != "signature_delta") == (
                    num_blocks,
                    True,
                )
                state = "signed" if kind == "signature_delta" else state
            case "content_block_stop", "text" | "tool_use" | "signed":
                assert event["index"] == num_blocks
                state, num_blocks = "closed", num_blocks + 1
            case other:
                pytest.fail(f"{other} is out of order")
    assert state == "closed"
    assert num_blocks > 0


@pytest.fixture(scope="session")
def read_stream() -> Callable[[bytes], Json]:
    """The message that a finished stream adds up to."""

    def read(stream: bytes) -> Json:
        events = _events(stream)
        _check_order(events)
        snapshot, json_bufs = None, dict[int, bytes]()
        for event in events:
            if event["type"] != "ping":
                snapshot = accumulate_event(
                    event=event,  # pyright: ignore[reportArgumentType]
                    current_snapshot=snapshot,
                    json_bufs=json_bufs,
                )
        assert snapshot is not None
        return snapshot.to_dict()

    return read


@pytest.fixture(scope="session")
def read_events() -> Callable[[bytes], list[Json]]:
    return _events
