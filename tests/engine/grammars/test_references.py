"""Tools whose schemas say by reference what their arguments are, and other turns of generators."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import jsonschema_rs
import pytest

from cortex.engine.errors import InvalidRequest
from cortex.engine.types import Prompt, ReplyFormat, Tool, ToolChoice

Called = Callable[..., list[dict[str, Any]]]


class Model(Protocol):
    def prompt(self, reply: ReplyFormat = ..., seed: int = ..., **asked: Any) -> Prompt: ...
    def answer(self, prompt: Prompt) -> Any: ...


NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 3},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "maxItems": 1},
    },
    "required": ["name", "kids"],
    "additionalProperties": False,
}
ITSELF = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 7, "maximum": 7},
        "kids": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2},
    },
    "required": ["kids"],
    "additionalProperties": False,
}
BESIDE = {
    "type": "object",
    "properties": {
        "a b": {"type": "integer", "minimum": 7, "maximum": 7},
        "rows": {"type": "array", "items": {"$ref": "#/properties/a%20b"}, "minItems": 1},
    },
    "required": ["rows"],
    "additionalProperties": False,
}


@pytest.fixture
def called(model: Model) -> Called:
    """The arguments of the calls that some answers are, which a strict tool's schema asks for."""

    def called(
        spelling: Any, schema: dict[str, Any], *, is_strict: bool = True
    ) -> list[dict[str, Any]]:
        offered = (Tool("f", "", json.dumps(schema), is_strict=is_strict),)
        reply = ReplyFormat("none", spelling, offered)
        asked: dict[str, Any] = {"tools": offered, "tool_choice": ToolChoice("required")}
        answers = [model.answer(model.prompt(reply, seed, **asked)) for seed in range(12)]
        return [json.loads(c.arguments) for a in answers if a.finish == "stop" for c in a.calls]

    return called


@pytest.mark.parametrize("spelling", ["json", "xml"])
@pytest.mark.parametrize(
    "schema",
    [
        ITSELF,
        BESIDE,
        {"$defs": {"Node": NODE}, "$ref": "#/$defs/Node"},
        {"$defs": {"Node": NODE}, "allOf": [{"$ref": "#/$defs/Node"}], "description": "a tree"},
    ],
)
def test_a_strict_tool_may_lead_to_itself_and_to_its_parts(
    called: Called, spelling: Any, schema: dict[str, Any]
) -> None:
    calls = called(spelling, schema)
    validator = jsonschema_rs.validator_for(schema)
    for arguments in calls:
        validator.validate(arguments)
    assert any(calls)


def test_a_tree_in_tags_has_branches_that_are_trees(called: Called) -> None:
    kids = [kid for arguments in called("xml", ITSELF) for kid in arguments.get("kids", ())]
    assert kids
    assert all(isinstance(kid, dict) for kid in kids)


def test_the_types_of_a_tool_behind_a_reference_are_known(called: Called) -> None:
    digits = {**NODE, "properties": {"name": {"type": "string", "pattern": "^[0-9]$"}}}
    schema = {"$defs": {"Node": {**digits, "required": ["name"]}}, "$ref": "#/$defs/Node"}
    assert {type(arguments["name"]) for arguments in called("xml", schema)} == {str}


def test_a_reference_beside_what_asks_otherwise_is_not_promised_in_tags(called: Called) -> None:
    schema = {"$defs": {"Node": NODE}, "$ref": "#/$defs/Node", "required": ["more"]}
    with pytest.raises(InvalidRequest, match=r"tools: '\$ref' for arguments of f"):
        called("xml", schema)


def test_a_parameter_that_tags_cannot_hold_stops_strict_tools_only(called: Called) -> None:
    schema = {
        "properties": {"a<b": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["a<b", "n"],
    }
    assert all(arguments.keys() == {"n"} for arguments in called("xml", schema, is_strict=False))
    with pytest.raises(InvalidRequest, match="the parameter 'a<b' of f cannot be spelt"):
        called("xml", schema)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "string", "maxLength": 3, "x-order": 1, "nullable": False},
        {"allOf": [{"$ref": "#/$defs/Short"}], "default": "a"},
        {"allOf": [{"maxLength": 3}], "type": "string"},
    ],
)
def test_notes_and_a_condition_on_its_own_are_no_trouble_in_tags(
    called: Called, value: dict[str, Any]
) -> None:
    short = {"type": "string", "maxLength": 3}
    schema = {"properties": {"a": value}, "required": ["a"], "$defs": {"Short": short}}
    calls = called("xml", {**schema, "additionalProperties": False, "x-order": 2})
    assert calls
    assert all(len(arguments["a"]) <= 3 for arguments in calls)
