"""Tools of the Responses dialect: what is offered, and what may be called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.engine.types import (
    ToolChoice,
)
from cortex.peer.dialects.responses.toolbox import ToolName
from tests.peer.responses.bodies import SCHEMA, TOOLS, called, parse, said, told, user


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
    request = parse(tools=TOOLS, tool_choice=choice).request
    assert (request.tools, request.tool_choice) == ((), ToolChoice("none"))


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_no_choice_of_no_tools_is_no_error(choice: str):
    assert parse(tool_choice=choice, tools=TOOLS[3:]).request.tool_choice == ToolChoice()
