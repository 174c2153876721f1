"""Tools of the Responses dialect: what is offered, and what may be called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.engine.types import (
    Accepted,
    Message,
    TextPart,
    ToolChoice,
)
from cortex.peer.dialects.asked import Arrival, Asked
from cortex.peer.dialects.responses.parse import parse_response
from cortex.peer.dialects.responses.stream import ResponseTeller
from cortex.peer.dialects.responses.toolbox import ToolName

ARRIVAL = Arrival(now_s=7, random_seed=11, id_hex="0f")
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


def said(role: str, content: Any = "hi") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def user(text: str) -> Message:
    return Message("user", (TextPart(text),))


def called(name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    item = {"type": "function_call", "call_id": "c", "name": name, "arguments": arguments}
    return item | more


def told(asked: Asked[ResponseTeller]) -> dict[str, Any]:
    """The response that a stream of this one begins with."""
    opening = asked.teller.open(Accepted(1, (), 1))
    data = opening.split(b"\n")[1].removeprefix(b"data: ")
    return json.loads(data)["response"]


def test_tools_are_offered_under_flat_names():
    asked = parse(tools=TOOLS)
    assert [tool.name for tool in asked.request.tools] == ["f", "ns__g", "patch"]
    first, second, third = asked.request.tools
    assert (first.description, json.loads(first.parameters)) == ("does", SCHEMA)
    assert (first.is_strict, second.is_strict, second.parameters) == (True, False, "{}")
    assert list(json.loads(third.parameters)["properties"]) == ["input"]
    assert asked.teller.manner.tools == {
        "f": ToolName("f"),
        "ns__g": ToolName("g", "ns"),
        "patch": ToolName("patch", is_custom=True),
    }
    assert asked.request.tool_choice == ToolChoice()


def test_flat_names_do_not_meet():
    tools = [{"type": "function", "name": "ns__g"}, TOOLS[1]]
    asked = parse(tools=tools, input=[said("user"), called("g", namespace="ns")])
    assert [tool.name for tool in asked.request.tools] == ["ns__g", "ns__g_"]
    assert asked.teller.manner.tools["ns__g_"] == ToolName("g", "ns")
    assert asked.request.messages[1].tool_calls[0].name == "ns__g_"


def test_there_are_no_namespaces_inside_of_namespaces():
    outer = {"type": "namespace", "name": "outer", "tools": [TOOLS[1], TOOLS[0]]}
    assert [tool.name for tool in parse(tools=[outer]).request.tools] == ["outer__f"]


def test_tools_may_come_among_the_items_and_are_offered_once():
    more = {"type": "additional_tools", "role": "developer", "tools": [*TOOLS[:1], *TOOLS[2:3]]}
    asked = parse(tools=TOOLS[:1], input=[more, said("user")])
    assert [tool.name for tool in asked.request.tools] == ["f", "patch"]
    assert asked.request.messages == (user("hi"),)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice()),
        (None, ToolChoice()),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("required", ("f",))),
        ({"type": "function", "name": "g", "namespace": "ns"}, ToolChoice("required", ("ns__g",))),
        ({"type": "custom", "name": "patch"}, ToolChoice("required", ("patch",))),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}],
            },
            ToolChoice("auto", ("f",)),
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "custom", "name": "patch"}],
            },
            ToolChoice("required", ("patch",)),
        ),
    ],
)
def test_a_choice_of_tools_is_carried(choice: Any, expected: ToolChoice):
    asked = parse(tools=TOOLS, tool_choice=choice)
    assert asked.request.tool_choice == expected
    assert len(asked.request.tools) == 3
    assert told(asked)["tool_choice"] == (choice or "auto")


@pytest.mark.parametrize(
    "choice",
    ["none", {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}],
)
def test_where_nothing_may_be_called_nothing_is_offered(choice: Any):
    assert parse(tools=TOOLS, tool_choice=choice).request.tools == ()


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_no_choice_of_no_tools_is_no_error(choice: str):
    assert parse(tool_choice=choice, tools=TOOLS[3:]).request.tool_choice == ToolChoice()
