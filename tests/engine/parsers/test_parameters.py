"""Bare text as JSON values, by what a tool's schema says of them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.parsers.parameters import ParameterTypes, ParameterValue, value_json
from cortex.engine.types import Tool


def types_of(parameter: Any, **rest: Any) -> set[str]:
    schema = {"type": "object", "properties": {"p": parameter}, **rest}
    return set(ParameterTypes([Tool("f", parameters=json.dumps(schema))]).of("f", "p"))


TYPES: list[tuple[Any, set[str]]] = [
    ({"type": "string"}, {"string"}),
    ({"type": ["string", "null"]}, {"string", "null"}),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"integer", "null"}),
    ({"enum": ["a", 1]}, {"string", "integer"}),
    ({"const": True}, {"boolean"}),
    ({"$ref": "#/$defs/Place"}, {"object"}),
    ({"$ref": "#/$defs/Loop"}, set()),
    ({"$ref": "#"}, {"object"}),
    ({"$ref": "#/$defs/Two%20places/anyOf/1"}, {"array"}),
    ({"$ref": "#/$defs/Two%20places/anyOf/2"}, set()),
    ({"$ref": "https://example.com/x"}, set()),
    ({"$ref": "#/nowhere"}, set()),
    ({"anyOf": [{"type": "string"}, {}]}, set()),
    ({}, set()),
    (True, set()),
    (None, set()),
]


@pytest.mark.parametrize(
    ("parameter", "types"),
    TYPES,
)
def test_types_are_read_as_far_as_a_schema_says_them(parameter: Any, types: set[str]) -> None:
    defs: dict[str, Any] = {"Place": {"type": "object"}, "Loop": {"$ref": "#/$defs/Loop"}}
    defs["Two places"] = {"anyOf": [{"type": "object"}, {"type": "array"}]}
    assert types_of(parameter, **{"$defs": defs}) == types


def test_types_are_read_behind_a_reference_of_the_tools_own() -> None:
    node = {"type": "object", "properties": {"p": {"type": "string"}}}
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    assert ParameterTypes([Tool("f", parameters=json.dumps(schema))]).of("f", "p") == {"string"}


def test_types_of_many_parameters_behind_references_that_lead_round_are_read_soon() -> None:
    values = {f"p{n}": {"$ref": "#"} for n in range(2_000)}
    notes = {f"x-{n}": n for n in range(2_000)}
    schema = {"allOf": [{"$ref": "#"}], "properties": values, **notes}
    began_s = time.process_time()
    types = ParameterTypes([Tool("f", parameters=json.dumps(schema))])
    assert {types.of("f", name) for name in values} == {frozenset()}
    assert time.process_time() - began_s < 2.0


def test_a_schema_that_multiplies_itself_is_given_up() -> None:
    twice = [{"$ref": "#/$defs/Twice"}, {"$ref": "#/$defs/Twice"}]
    assert types_of({"$ref": "#/$defs/Twice"}, **{"$defs": {"Twice": {"anyOf": twice}}}) == set()


@pytest.mark.parametrize("schema", ["", "[]", "{", '{"properties": 5}', '{"properties": {"p": 5}}'])
def test_a_schema_that_is_none_says_nothing(schema: str) -> None:
    assert ParameterTypes([Tool("f", parameters=schema)]).of("f", "p") == frozenset()
    assert ParameterTypes([]).of("f", "p") == frozenset()


VALUES: list[tuple[str, set[str], Any]] = [
    ("5", {"string"}, "5"),
    ("5", {"integer"}, 5),
    (" 5.5 ", {"number"}, 5.5),
    ("5", {"string", "number"}, 5),
    ("true", {"boolean"}, True),
    ("False", {"boolean"}, False),
    ("True", set(), "True"),
    ("True", {"string"}, "True"),
    ("None", {"string", "null"}, None),
    ("null", {"string", "null"}, None),
    ("null", {"string"}, "null"),
    ("nullify", {"string", "null"}, "nullify"),
    ('["a"]', {"string", "array"}, ["a"]),
    ('{"a": 1}', {"string", "array"}, '{"a": 1}'),
    ('"a"', {"string", "array"}, '"a"'),
    ('{"a": "1\n2"}', {"object"}, {"a": "1\n2"}),
    ("{'a': 1}", {"object"}, "{'a': 1}"),
    ("five", {"integer"}, "five"),
    ("NaN", {"number"}, "NaN"),
    ("1e999", {"number"}, float("inf")),
    ("9" * 5000, {"integer"}, "9" * 5000),
    ("[" * 100_000, {"array"}, "[" * 100_000),
    ("", {"integer"}, ""),
    ('{"a": 1}', set(), {"a": 1}),
    ("words {in} it", set(), "words {in} it"),
]


@pytest.mark.parametrize(
    ("text", "types", "value"),
    VALUES,
)
def test_text_becomes_the_value_that_was_asked_for(text: str, types: set[str], value: Any) -> None:
    assert json.loads(value_json(text, frozenset(types))) == value


_TYPES = st.frozensets(
    st.sampled_from(["string", "number", "integer", "boolean", "object", "array", "null", "odd"])
)


@given(st.lists(st.text() | st.sampled_from(["nu", "ll", "None", "[1", "]", '"', "5"])), _TYPES)
def test_pieces_of_a_value_join_to_its_json(pieces: list[str], types: frozenset[str]) -> None:
    value = ParameterValue(types)
    told = "".join([*map(value.push, pieces), value.end()])
    text = "".join(pieces)
    assert told == value_json(text, types)
    assert types != {"string"} or json.loads(told) == text


def test_text_is_told_while_it_comes() -> None:
    value = ParameterValue(frozenset({"string", "null"}))
    assert [value.push("nu"), value.push("de"), value.push("s"), value.end()] == [
        "", '"nude', "s", '"',
    ]  # fmt: skip
