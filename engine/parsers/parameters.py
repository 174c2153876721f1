"""Parameters that a model writes as bare text, as JSON values of the types their tool asks for.

A tool's schema is read as far as types go and no further; where it says nothing, text that is JSON
is taken as such, and any other is a string.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from ..types import Tool
from . import json_text
from .references import resolve, unfolded

Types = frozenset[str]  # JSON Schema's names of types; none of them means unknown

_UNKNOWN: Types = frozenset()
# Unions of references can be endless; those that people write are short.
_MAX_NODES = 64
# Python's spellings, which some templates show to the model.
_PYTHON_WORDS = {
    "True": ("boolean", "true"),
    "False": ("boolean", "false"),
    "None": ("null", "null"),
}
_NULLS = ("null", "None")


class ParameterTypes:
    """The types of all parameters of the tools that were offered, looked up as they are used."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._texts = {tool.name: tool.parameters for tool in tools}
        # Each with what its arguments are.
        self._schemas: dict[str, tuple[Mapping[str, Any], object]] = {}
        self._known: dict[tuple[str, str], Types] = {}

    def has_tool(self, name: str) -> bool:
        return name in self._texts

    def of(self, tool: str, parameter: str) -> Types:
        """Empty where the schema does not say, or there is no such tool."""
        key = (tool, parameter)
        if key not in self._known:
            schema, properties = self._schema(tool)
            self._known[key] = types_of(_member(properties, parameter), schema)
        return self._known[key]

    def _schema(self, tool: str) -> tuple[Mapping[str, Any], object]:
        if tool not in self._schemas:
            try:
                value = json_text.load(self._texts.get(tool, "{}"))
            except ValueError:
                value = {}
            schema = cast(dict[str, Any], value) if isinstance(value, dict) else {}
            self._schemas[tool] = (schema, unfolded(schema, schema).get("properties"))
        return self._schemas[tool]


class ParameterValue:
    """One parameter's text as it comes, as the JSON text of its value.

    Strings are told piece by piece. All else is told at its end: only then is it known to be JSON.
    """

    def __init__(self, types: Types) -> None:
        self._types = types
        self._is_text = "string" in types and types <= {"string", "null"}
        self._may_be_null = "null" in types
        self._held: list[str] = []
        self._is_open = False

    def push(self, text: str) -> str:
        if self._is_open:
            return json_text.escaped(text)
        self._held.append(text)
        if not self._is_text:
            return ""
        begun = "".join(self._held)  # short: as long as it may still be a null
        if not begun or (self._may_be_null and any(null.startswith(begun) for null in _NULLS)):
            return ""
        self._is_open = True
        self._held.clear()
        return '"' + json_text.escaped(begun)

    def end(self) -> str:
        return '"' if self._is_open else value_json("".join(self._held), self._types)

    def cut(self) -> str:
        """What is there of a value that was cut off: told, but not closed."""
        return "" if self._is_open else "".join(self._held)


def value_json(text: str, types: Types) -> str:
    """The JSON text of a value of one of these types; a string where it can be nothing else."""
    bare = text.strip()
    python_type, spelling = _PYTHON_WORDS.get(bare, ("", ""))
    if python_type in types:
        return spelling
    mended, rest = json_text.JsonScan().push(bare)
    bare = mended + (rest or "")
    kind = _kind_of_text(bare)
    if kind is not None and ("string" not in types or _is_one_of(kind, types - {"string"})):
        return bare
    return f'"{json_text.escaped(text)}"'


def _is_one_of(kind: str, types: Types) -> bool:
    return kind in types or (kind == "integer" and "number" in types)


def _kind_of_text(text: str) -> str | None:
    try:
        return _kind(json_text.load(text))
    except ValueError:
        return None


def _kind(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "null"


def types_of(node: object, schema: Mapping[str, Any]) -> Types:
    """All types that a parameter's schema allows; none where any part of it does not say."""
    found: set[str] = set()
    pending = [node]
    for _ in range(_MAX_NODES):
        if not pending:
            return frozenset(found)
        part = pending.pop()
        if not isinstance(part, dict):
            return _UNKNOWN
        fields = cast(dict[str, Any], part)
        branches = _branches(fields)
        if isinstance(reference := fields.get("$ref"), str):
            pending.append(resolve(reference, schema))
        elif named := _named(fields):
            found |= named
        elif branches:
            pending += branches
        else:
            return _UNKNOWN
    return _UNKNOWN


def _named(fields: Mapping[str, Any]) -> set[str]:
    """The types that a schema names itself, or shows by listing its values."""
    names: Any = fields.get("type")
    if isinstance(names, str):
        return {names}
    if isinstance(names, list):
        return {name for name in _list(names) if isinstance(name, str)}
    if "const" in fields:
        return {_kind(fields["const"])}
    return {_kind(value) for value in _list(fields.get("enum"))}


def _branches(fields: Mapping[str, Any]) -> list[Any]:
    return [part for name in ("anyOf", "oneOf", "allOf") for part in _list(fields.get(name))]


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _member(node: object, name: str) -> object:
    return cast(dict[str, Any], node).get(name) if isinstance(node, Mapping) else None
