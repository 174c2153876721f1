"""Where a JSON Schema says what it says: beside a `$ref`, or behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import unquote

# What asks something of a value. All else is a note.
ASKING = frozenset(
    {
        "$dynamicRef", "$recursiveRef", "$ref", "additionalItems", "additionalProperties", "allOf",
        "anyOf", "const", "contains", "dependencies", "dependentRequired", "dependentSchemas",
        "else", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "if", "items",
        "maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains",
        "minItems", "minLength", "minProperties", "minimum", "multipleOf", "not", "oneOf",
        "pattern", "patternProperties", "prefixItems", "properties", "propertyNames", "required",
        "then", "type", "unevaluatedItems", "unevaluatedProperties", "uniqueItems",
    }
)  # fmt: skip
# References can lead to each other for ever.
_MAX_STEPS = 64
_MAX_DIGITS = 9


def resolve(reference: str, root: Mapping[str, Any]) -> object:
    """What a reference into the schema itself points at (RFC 6901); None for any other."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    node: object = root
    for step in reference.split("/")[1:]:
        node = _part(node, unquote(step).replace("~1", "/").replace("~0", "~"))
    return node


def unfolded(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """What stands at the end of a schema's `$ref`, or in its `allOf` of one part, joined with what
    stands beside it; left as it is where the two ask different things by one keyword.
    """
    fields, seen = dict(schema), {id(schema)}
    for _ in range(_MAX_STEPS):
        key, part = _only_part(fields, root)
        if not isinstance(part, dict) or id(cast(object, part)) in seen:
            break
        seen.add(id(cast(object, part)))
        asked = cast(dict[str, Any], part)
        rest = {name: value for name, value in fields.items() if name != key}
        if any(asked[name] != rest[name] for name in ASKING & asked.keys() & rest.keys()):
            break
        fields = {**asked, **rest}
    return fields


def _only_part(fields: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[str, object]:
    if isinstance(reference := fields.get("$ref"), str):
        return "$ref", resolve(reference, root)
    match fields.get("allOf"):
        case [part]:
            return "allOf", cast(object, part)
        case _:
            return "", None


def _part(node: object, step: str) -> object:
    if isinstance(node, list):
        parts = cast(list[object], node)
        is_place = step.isdecimal() and len(step) <= _MAX_DIGITS and int(step) < len(parts)
        return parts[int(step)] if is_place else None
    return cast(dict[str, Any], node).get(step) if isinstance(node, dict) else None
