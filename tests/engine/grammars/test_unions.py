"""Unions whose branches a tag tells apart, from schema to answer."""

from __future__ import annotations

import json
import time
from typing import Any, Protocol

import jsonschema_rs
import pytest

from cortex.engine.grammars.schemas import read_schema
from cortex.engine.types import Grammar, Prompt


class Model(Protocol):
    def prompt(self, *, seed: int = ..., **asked: Any) -> Prompt: ...
    def answer(self, prompt: Prompt) -> Any: ...


def branch(tag: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"kind": tag, **more},
        "required": sorted(more),
        "additionalProperties": False,
    }


NUMBER = {"type": "integer", "minimum": 1, "maximum": 3}
REFERENCES = [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]
PET = {"oneOf": REFERENCES, "discriminator": {"propertyName": "kind"}}
KITTENS = {"type": "array", "items": PET, "maxItems": 1}
DEFS = {
    "Cat": branch({"const": "cat", "default": "cat", "type": "string"}, lives=NUMBER, pets=KITTENS),
    "Dog": branch({"enum": ["dog"], "default": "dog", "type": "string"}, age=NUMBER),
}


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": DEFS, **PET},
        {"$defs": DEFS, "type": "object", "properties": {"pet": PET}, "required": ["pet"]},
    ],
)
def test_branches_with_tags_that_have_defaults_are_told_apart(
    model: Model, schema: dict[str, Any]
) -> None:
    form = Grammar("json_schema", json.dumps(schema), "response_format")
    kinds: set[str] = set()
    for seed in range(12):
        answered = model.answer(model.prompt(seed=seed, grammar=form))
        if answered.finish == "stop":
            value = json.loads(answered.words)
            jsonschema_rs.validate(schema, value)
            kinds.add(value.get("pet", value)["kind"])
    assert kinds == {"cat", "dog"}


@pytest.mark.parametrize(
    "cat",
    [
        branch({"const": "dog"}),
        branch({"enum": ["cat", "dog"]}),
        branch({"const": "cat" * 100}),
        branch({"const": ["cat"]}),
        {"$ref": "#/$defs/Dog"},
        branch({"type": "string"}),
        {"properties": {"kind": {"const": "cat"}}},
        branch({"const": "cat"}) | {"required": 5},
        True,
    ],
)
def test_branches_whose_tags_leave_doubt_stay_as_they_are(cat: Any) -> None:
    sent = {"$defs": {**DEFS, "Cat": cat}, "properties": {"pet": PET}}
    assert read_schema(json.dumps(sent), "it", "x") == json.loads(json.dumps(sent))


def test_tags_that_are_no_strings_are_told_apart_by_kind() -> None:
    sent = {"$defs": {"Cat": branch({"const": True}), "Dog": branch({"const": 1})}, **PET}
    assert read_schema(json.dumps(sent), "it", "x")["anyOf"] == REFERENCES


def test_many_unions_of_branches_with_long_tags_are_read_soon() -> None:
    defs = {"Cat": branch({"const": "c" * 60_000}), "Dog": branch({"const": "d" * 60_000})}
    sent = {"$defs": defs, "anyOf": [PET] * 800}
    began_s = time.process_time()
    read_schema(json.dumps(sent), "it", "x")
    assert time.process_time() - began_s < 1.0


def test_what_is_no_discriminator_or_no_list_of_names_is_no_trouble() -> None:
    odd: list[Any] = [{"propertyName": {}}, {}, "kind", {"propertyName": ["kind"]}]
    for discriminator in odd:
        sent = {"$defs": DEFS, "oneOf": REFERENCES, "discriminator": discriminator}
        assert read_schema(json.dumps(sent), "it", "x")["oneOf"] == REFERENCES
    cat: dict[str, Any] = {**branch({"const": "cat"}), "required": [{}]}
    sent: dict[str, Any] = {"$defs": {**DEFS, "Cat": cat}, **PET}
    assert read_schema(json.dumps(sent), "it", "x")["$defs"]["Cat"]["required"] == [{}, "kind"]
