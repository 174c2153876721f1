"""Unions whose branches a tag tells apart, as OpenAPI and pydantic write them.

The grammar library cannot see that of such branches only one can hold, least of all where the tag
may be left out because it has a default.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from ..parsers.references import resolve

_Schema = dict[str, Any]
_Scalar = str | int
_MAX_TAG_CHARS = 256


def require_tags(nodes: Iterable[_Schema], root: _Schema) -> None:
    """In place: a `oneOf` whose branches each have a tag of their own becomes an `anyOf` in which
    the tag has to be written. What obeys that obeys the schema.
    """
    for node in list(nodes):
        discriminator, parts = node.get("discriminator"), node.get("oneOf")
        if not isinstance(discriminator, dict) or not isinstance(parts, list) or "anyOf" in node:
            continue
        name = cast(_Schema, discriminator).get("propertyName")
        branches = [_target(part, root) for part in cast(list[Any], parts)]
        if not branches or len({id(branch) for branch in branches}) < len(branches):
            continue
        tags = {_tag(branch, name) for branch in branches}
        if None in tags or len(tags) < len(branches):
            continue
        for branch in branches:
            required: list[Any] = branch.get("required", [])
            branch["required"] = required if name in required else [*required, name]
        del node["discriminator"]  # beside it the library takes no references that lead round
        node["anyOf"] = node.pop("oneOf")


def _target(part: Any, root: _Schema) -> _Schema:
    """A branch, or what it is a reference to and nothing else."""
    if isinstance(part, dict) and isinstance(reference := cast(_Schema, part).get("$ref"), str):
        part = resolve(reference, root)
    return cast(_Schema, part) if isinstance(part, dict) else {}


def _tag(branch: _Schema, name: Any) -> tuple[type, _Scalar] | None:
    """The one value of a branch's tag; None where there may be another, or it is no short word."""
    properties, required = branch.get("properties"), branch.get("required", [])
    is_plain = isinstance(properties, dict) and isinstance(required, list)
    if branch.get("type") != "object" or not is_plain or not isinstance(name, str):
        return None
    match cast(_Schema, properties).get(name):
        case {"const": str() | int() as value} | {"enum": [str() | int() as value]}:
            is_long = isinstance(value, str) and len(value) > _MAX_TAG_CHARS
            return None if is_long else (type(value), value)  # True is no 1
        case _:
            return None
