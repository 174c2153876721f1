"""Parameters of calls that are spelt with a tag each: what their text may be, by their schema.

A string is free text up to the closing tag, anything else is JSON. `parsers/parameters.py` reads
them back by the same types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from ..errors import InvalidRequest
from ..parsers import json_text
from ..parsers.parameters import ParameterTypes, Types, types_of
from ..parsers.references import ASKING, unfolded
from ..types import Tool
from .formats import FORMATS
from .forms import expression
from .lark import LarkText, any_of, json_value, quoted
from .schemas import Cutting, Schema

# Whether a rule cannot be used for a tool; raises for one whose schema has to be obeyed.
IsRefused = Callable[[Tool, str], bool]
# Whether no more is to be asked for a tool; raises likewise.
IsFull = Callable[[Tool], bool]

_END = "\n</parameter>"
_ANY_TEXT = r"/(?s:.*)/ & ~/(?s:.*)<\/parameter>(?s:.*)/"
_MAX_DEPTH = 8
# Of JSON for one parameter, with all that it refers to, where no schema has to be obeyed.
_MAX_JSON_CHARS = 64 * 1024
# What a schema of arguments may ask here of the whole object.
_OBJECT_KEYWORDS = frozenset({"type", "properties", "required", "additionalProperties"})
_TEXT_KEYWORDS = frozenset({"type", "pattern", "format", "minLength", "maxLength"})
# In regular expressions: what is escaped or in brackets, and else what groups and what parts.
_BARS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|[()|]", re.DOTALL)
# What stands bare beside strings and is known from them by how it begins.
_OPENINGS = {"array": r"\[", "object": r"\{"}
_TOLD_APART = frozenset({"string", "null", *_OPENINGS})
# What a schema with several types says of those alone.
_NOT_OF_TEXTS = frozenset(
    {
        "additionalProperties", "items", "maxItems", "maxProperties", "minItems", "minProperties",
        "prefixItems", "properties", "required",
    }
)  # fmt: skip
_BRANCHES = ("anyOf", "oneOf")


class ParameterRules:
    """The rules of the parameters of the tools that were offered."""

    def __init__(
        self, lark: LarkText, tools: Sequence[Tool], is_refused: IsRefused, is_full: IsFull
    ) -> None:
        self._lark = lark
        self._types = ParameterTypes(tools)
        self._is_refused = is_refused
        self._is_full = is_full
        self._cutting = Cutting({})

    def rules(self, tool: Tool, schema: Schema) -> list[str]:
        """What stands between the tags of the function, in order.

        Raises InvalidRequest for what a strict tool asks and cannot be had.
        """
        root, schema = schema, unfolded(schema, schema)
        self._cutting = Cutting(root)
        self._check(tool, schema, _OBJECT_KEYWORDS, "arguments")
        properties = _object(schema.get("properties"))
        required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        names = [
            name
            for name in dict.fromkeys((*properties, *required))
            if properties.get(name) is not False and self._can_be_spelt(tool, name)
        ]
        others = schema.get("additionalProperties", True)
        if not names and others is not False:
            return [self._others(tool, _object(others))]
        rules: list[str] = []
        values: dict[str, str] = {}
        for name in names:
            asked = properties.get(name, True)
            key = json_text.dumped({k: v for k, v in _object(asked).items() if k in ASKING})
            value = values[key] = values.get(key) or self._value(tool, name, asked, root)
            tag = quoted(f"<parameter={name}>\n")
            rule = self._lark.rule(f"{tag} {value} {quoted(chr(10))}")
            rules.append(rule if name in required else f"{rule}?")
        return rules

    def _can_be_spelt(self, tool: Tool, name: str) -> bool:
        """Raises InvalidRequest where a strict tool's cannot; any other's is left out."""
        is_odd = not name or set(name) & {"<", ">", "\n"} or name != name.strip()
        if is_odd and tool.is_strict:
            raise InvalidRequest(
                f"tools: the parameter {name!r} of {tool.name} cannot be spelt in a call of this"
                " model",
                "use letters, digits, _ and -",
                param="tools",
            )
        return not is_odd

    def _others(self, tool: Tool, schema: Schema) -> str:
        """Parameters by any name. Their types are read from their text, which is JSON."""
        key = self._lark.token("/[A-Za-z0-9_.-]{1,64}/")
        value = self._json(tool, schema) if schema else self._any_text()
        head, end = quoted("<parameter="), quoted("\n")
        return f"({self._lark.rule(f'{head} {key} {quoted(chr(62) + chr(10))} {value} {end}')})*"

    def _value(self, tool: Tool, name: str, schema: Any, root: Schema) -> str:
        """A value and its closing tag."""
        fields = unfolded(_object(schema), root)
        if not fields.keys() & ASKING or self._is_full(tool):
            return self._any_text()
        types = self._types.of(tool.name, name)
        if "string" not in types:
            return self._json(tool, fields)
        if types <= {"string", "null"}:
            return self._lark.rule(any_of(self._texts(tool, fields, root)))
        if listed := self._listed(tool, fields):
            return self._lark.rule(any_of(listed))
        if types <= _TOLD_APART and (ways := self._ways(tool, fields, types, root)):
            return self._lark.rule(any_of(ways))
        # Text that is read by its looks: only the types can be promised.
        self._check(tool, fields, frozenset({"type", *_BRANCHES}), name)
        for branch in _branches(fields):
            self._check(tool, branch, frozenset({"type"}), name)
        return self._any_text()

    def _ways(self, tool: Tool, schema: Schema, types: Types, root: Schema) -> list[str]:
        """The ways to write a text, or what is known from texts by how it begins; none where a
        branch may be either or does not say.
        """
        branches = _branches(schema)
        if branches:
            self._check(tool, schema, frozenset({"type", *_BRANCHES}), "a union")
        else:
            branches = [_of_type(schema, name) for name in _list(schema.get("type"))]
        barred = "".join(_OPENINGS.get(name, "") for name in sorted(types))
        ways: list[str] = []
        for branch in branches:
            kinds = types_of(branch, root)
            if not kinds:
                return []
            if "string" not in kinds:
                ways.append(self._json(tool, branch))
            elif kinds <= {"string", "null"}:
                ways += self._texts(tool, branch, root, barred)
            else:
                return []
        return ways

    def _texts(
        self, tool: Tool, schema: Schema, root: Schema, barred: str = "", depth: int = 0
    ) -> list[str]:
        """The ways to write a string or a null, each with its closing tag.

        Strings do not begin with a `barred` character.
        """
        if self._is_full(tool):
            return [self._any_text()]
        schema = unfolded(schema, root)
        if depth < _MAX_DEPTH and (branches := _branches(schema)):
            self._check(tool, schema, frozenset({"type", *_BRANCHES}), "a union")
            return [t for b in branches for t in self._texts(tool, b, root, barred, depth + 1)]
        if listed := self._listed(tool, schema):
            return listed
        self._check(tool, schema, _TEXT_KEYWORDS, "a string")
        types = schema.get("type")
        if types == "null":
            return [_literal(None)]
        null = [_literal(None)] if isinstance(types, list) and "null" in types else []
        return [self._string(tool, schema, barred), *null]

    def _listed(self, tool: Tool, schema: Schema) -> list[str]:
        values = [schema["const"]] if "const" in schema else _list(schema.get("enum"))
        if values:
            self._check(tool, schema, frozenset({"type", "enum", "const"}), "a list of values")
        literals = [_literal(value) for value in values]
        self._lark.num_chars += sum(map(len, literals))
        return literals

    def _string(self, tool: Tool, schema: Schema, barred: str) -> str:
        conditions = [_any_but_closing(self._lark)]
        if barred:
            conditions.insert(0, rf"~/[\s\x1c-\x1f]*[{barred}](?s:.*)/")
        least, most = (self._length(tool, schema, name) for name in ("minLength", "maxLength"))
        if least is not None or most is not None:
            size = f"{{{least or 0},{'' if most is None else most}}}"
            conditions.insert(0, f"/(?s:.{size})/")
        if isinstance(pattern := schema.get("pattern"), str):
            conditions.insert(0, expression(_searching(pattern)))
        if isinstance(form := schema.get("format"), str):
            conditions[:0] = map(expression, FORMATS.get(form, ()))
        token = self._lark.token(" & ".join(conditions))
        rule = f"{token} {quoted(_END)}"
        if len(conditions) > 1 and self._is_refused(tool, self._alone(conditions)):
            return self._any_text()
        return self._lark.rule(rule, is_lazy=True)

    def _length(self, tool: Tool, schema: Schema, name: str) -> int | None:
        """Nothing but a number may get into the grammar; what else stands there asks nothing."""
        length = schema.get(name)
        if isinstance(length, int) and not isinstance(length, bool) and length >= 0:
            return length
        if tool.is_strict and name in schema:
            raise InvalidRequest(
                f"tools: {name} for a string of {tool.name} is not a whole number from 0 on",
                "change the schema, or leave strict out",
                param="tools",
            )
        return None

    def _alone(self, conditions: list[str]) -> str:
        return f"TEXT\nTEXT: {' & '.join([*conditions[:-1], _ANY_TEXT])}"

    def _json(self, tool: Tool, schema: Schema) -> str:
        if self._is_full(tool):
            return self._any_text()
        body = json_value(self._cutting.cut_out(schema), is_lenient=not tool.is_strict)
        is_long = len(body) > _MAX_JSON_CHARS and not tool.is_strict
        if is_long or self._is_refused(tool, body):
            self._lark.num_chars += len(body)  # it was work all the same
            return self._any_text()
        return f"{self._lark.rule(body)} {quoted(_END)}"

    def _any_text(self) -> str:
        return self._lark.rule(f"{_any_but_closing(self._lark)} {quoted(_END)}", is_lazy=True)

    def _check(self, tool: Tool, schema: Schema, known: frozenset[str], what: str) -> None:
        """Refuse a strict tool whose schema asks what this spelling cannot promise."""
        unknown = sorted(schema.keys() & ASKING - known)
        if tool.is_strict and unknown:
            raise InvalidRequest(
                f"tools: {unknown[0]!r} for {what} of {tool.name} cannot be obeyed in this model's"
                " spelling of calls",
                "change the schema, or leave strict out",
                param="tools",
            )


def _literal(value: Any) -> str:
    text = value if isinstance(value, str) else json_text.dumped(value)
    return quoted(json_text.without_half_characters(text) + _END)


def _any_but_closing(lark: LarkText) -> str:
    return lark.token(_ANY_TEXT)


def _searching(pattern: str) -> str:
    """A pattern that may be found anywhere as one that fits the whole text."""
    return "|".join(map(_found, _alternatives(pattern)))


def _found(pattern: str) -> str:
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern[begins : len(pattern) - ends]
    return f"{'' if begins else '(?s:.*)'}(?:{inner}){'' if ends else '(?s:.*)'}"


def _alternatives(pattern: str) -> list[str]:
    """What stands between the bars that stand in no brackets."""
    parts, begin, depth = list[str](), 0, 0
    for mark in _BARS.finditer(pattern):
        depth += (mark[0] == "(") - (mark[0] == ")")
        if mark[0] == "|" and not depth:
            parts.append(pattern[begin : mark.start()])
            begin = mark.end()
    return [*parts, pattern[begin:]]


def _of_type(schema: Schema, name: Any) -> Schema:
    """What a schema of several types asks of values of this one."""
    kept = schema.keys() - _NOT_OF_TEXTS if name == "string" else schema.keys()
    return {**{key: schema[key] for key in schema if key in kept}, "type": name}


def _branches(schema: Schema) -> list[Schema]:
    return [_object(part) for name in _BRANCHES for part in _list(schema.get(name))]


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _object(value: Any) -> Schema:
    return cast(Schema, value) if isinstance(value, dict) else {}
