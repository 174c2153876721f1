"""Bodies of the Responses dialect, made and parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.engine.errors import CortexError
from cortex.engine.stream import Accepted
from cortex.engine.types import Message, TextPart
from cortex.peer.dialects.asked import Arrival, Asked
from cortex.peer.dialects.responses.parse import parse_response
from cortex.peer.dialects.responses.stream import ResponseTeller

ARRIVAL = Arrival(now_s=7, random_seed=11, id_hex="0f")
PIXEL = "data:image/png;base64,AAAA"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "f", "description": "does", "parameters": SCHEMA, "strict": True},
    {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "g"}]},
    {"type": "custom", "name": "patch", "description": "edits", "format": {"type": "grammar"}},
    {"type": "web_search", "name": 5, "tools": "no list"},
    {"type": "tool_search", "parameters": {}},
]


def parse(*, arrival: Arrival = ARRIVAL, **fields: Any) -> Asked[ResponseTeller]:
    body = {"model": "m", "input": "hello"} | fields
    return parse_response(json.dumps(body).encode(), arrival, lambda: 0.0)


def read(*items: Any, **fields: Any) -> tuple[Message, ...]:
    return parse(input=list(items), **fields).request.messages


def refusal(**fields: Any) -> CortexError:
    with pytest.raises(CortexError) as caught:
        parse(**fields)
    return caught.value


def said(role: str, content: Any = "hi") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def user(text: str) -> Message:
    return Message("user", (TextPart(text),))


def called(name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    item = {"type": "function_call", "call_id": "c", "name": name, "arguments": arguments}
    return item | more


def output(content: Any, kind: str = "function_call_output") -> dict[str, Any]:
    return {"type": kind, "call_id": "c", "output": content}


def told(asked: Asked[ResponseTeller]) -> dict[str, Any]:
    """The response that a stream of this one begins with."""
    opening = asked.teller.open(Accepted(1, (), 1))
    data = opening.split(b"\n")[1].removeprefix(b"data: ")
    return json.loads(data)["response"]
