"""The API's document as a page for people: each route, and the fields of its body. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

# A bound beyond this is the computer's, not the field's.
_LARGE = 2**31 - 1


def api_reference(document: dict[str, Any]) -> str:
    """Markdown of an OpenAPI document of ours."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    lines: list[str] = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            lines += [f"## {method.upper()} {path}", "", operation["summary"]]
            if (body := operation.get("requestBody")) is not None:
                ref = body["content"]["application/json"]["schema"]["$ref"]
                lines += _tables(_name(ref), schemas, set())
            lines.append("")
    return "\n".join(lines)


def _tables(name: str, schemas: dict[str, Any], told: set[str]) -> Iterator[str]:
    """The fields of one type, and after it of those that its fields are of."""
    told.add(name)
    schema = schemas[name]
    yield from ("", "| field of `" + name + "` | type | |", "| --- | --- | --- |")
    inner: list[str] = []
    for field, each in schema.get("properties", {}).items():
        words = [_described(each)]
        if field in schema.get("required", ()):
            words.insert(0, "required")
        yield f"| `{field}` | {_type(each, inner)} | {'. '.join(word for word in words if word)} |"
    for one in inner:
        if one not in told:
            yield from _tables(one, schemas, told)


def _type(schema: dict[str, Any], inner: list[str]) -> str:
    if "$ref" in schema:
        inner.append(_name(schema["$ref"]))
        return f"`{inner[-1]}`"
    if "anyOf" in schema:
        kinds = [_type(each, inner) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind: str | list[str] = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(cast(dict[str, Any], schema.get('items', {})), inner)}"
    return (" or ".join(kind) if isinstance(kind, list) else kind) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or low < -_LARGE:
        return ""
    return f" {low} to {high}" if high is not None and high < _LARGE else f" from {low}"


def _described(schema: dict[str, Any]) -> str:
    words = [schema.get("description", "")]
    words += [each.get("description", "") for each in schema.get("anyOf", ())]
    return " ".join(dict.fromkeys(word.rstrip(".") for word in words if word))


def _name(ref: str) -> str:
    return ref.rpartition("/")[2]
