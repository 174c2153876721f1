"""JSON schemas that clients send, opened with care: how large, how deep, how many parts.

What their keywords mean is the grammar library's affair, but for those that ask nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast

from ..errors import InvalidRequest
from ..parsers import json_text
from ..parsers.parameters import resolve

MAX_SCHEMA_BYTES = 256 * 1024
# The library's own JSON reader gives up at 128.
MAX_SCHEMA_DEPTH = 100
MAX_SCHEMA_NODES = 20_000
# Other dialects' addresses are looked up, and found nowhere.
_KNOWN_DIALECTS = ("http://json-schema.org/", "https://json-schema.org/")

Schema = dict[str, Any]

# What is written out by generators of schemas and asks nothing, but the library refuses.
_IDLE: Schema = {"propertyNames": {"type": "string"}, "uniqueItems": False}
_NAMED_PARTS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_VALUES = frozenset({"const", "enum", "default", "examples"})


def read_schema(text: str, name: str, param: str) -> Schema:
    """The schema in a JSON text that is called `name`.

    Raises InvalidRequest.
    """
    if (size_bytes := len(text.encode())) > MAX_SCHEMA_BYTES:
        raise InvalidRequest(
            f"{name} is {size_bytes} bytes long, at most {MAX_SCHEMA_BYTES} are taken", param=param
        )
    try:
        # Twice: what no UTF-8 can carry, and numbers that no JSON can, end here.
        value = json_text.load(json_text.dumped(json_text.load(text)))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name} is not the JSON text of a schema", param=param) from error
    if value is True:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"{name} is no schema that an answer could obey",
            'a schema is a JSON object, such as {"type": "object"}',
            param=param,
        )
    schema = cast(Schema, value)
    _check_size(schema, name, param)
    _check_references(schema, name, param)
    schema = cast(Schema, _without_idle(schema))
    dialect = schema.get("$schema")
    if isinstance(dialect, str) and not dialect.startswith(_KNOWN_DIALECTS):
        return {key: part for key, part in schema.items() if key != "$schema"}
    return schema


def _check_size(value: object, name: str, param: str) -> None:
    num_nodes = 0
    level: list[Any] = [value]
    for _ in range(MAX_SCHEMA_DEPTH):
        num_nodes += len(level)
        if num_nodes > MAX_SCHEMA_NODES:
            raise InvalidRequest(
                f"{name} has more than {MAX_SCHEMA_NODES} parts", "make it smaller", param=param
            )
        level = [part for node in level for part in _parts(node)]
        if not level:
            return
    raise InvalidRequest(
        f"{name} is nested deeper than {MAX_SCHEMA_DEPTH} levels",
        "use $defs and $ref for what repeats itself",
        param=param,
    )


def _check_references(schema: Schema, name: str, param: str) -> None:
    """Raise InvalidRequest where what a value must be is said by going round for ever.

    The library takes that, and finds no token where such a value would begin.
    """
    nodes = list(_nodes(schema))
    at_once = {id(node): [id(part) for part in _same_place(node, schema)] for node in nodes}
    try:
        TopologicalSorter(at_once).prepare()
    except CycleError as error:
        on_it = set(cast(list[int], error.args[1]))
        told = (node.get("$ref") for node in nodes if id(node) in on_it)
        reference = next(text for text in told if isinstance(text, str))
        raise InvalidRequest(
            f"{name} has a $ref that leads to nothing but itself: {reference!r}",
            "let it lead to a schema that says what the value is",
            param=param,
        ) from None


def _same_place(node: Schema, root: Schema) -> list[Any]:
    """The schemas that a value has to obey, all of them, where it has to obey this one."""
    parts: Any = node.get("allOf")
    targets = [*cast(list[Any], parts)] if isinstance(parts, list) else []
    if isinstance(reference := node.get("$ref"), str):
        targets.append(root if reference == "#" else resolve(reference, root))
    return targets


def _nodes(schema: Schema) -> Iterator[Schema]:
    """All schemas in a schema, itself the first; values that look like one are none."""
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += cast(list[Any], node)
        if not isinstance(node, dict):
            continue
        fields = cast(Schema, node)
        yield fields
        for key, part in fields.items():
            if key in _NAMED_PARTS and isinstance(part, dict):
                pending += cast(Schema, part).values()
            elif key not in _VALUES:
                pending.append(part)


def _parts(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(cast(Schema, node).values())
    return cast(list[Any], node) if isinstance(node, list) else []


def _without_idle(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_idle(part) for part in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    kept: Schema = {}
    for key, part in cast(Schema, node).items():
        if key in _NAMED_PARTS and isinstance(part, dict):
            named = cast(Schema, part)
            kept[key] = {name: _without_idle(schema) for name, schema in named.items()}
        elif key in _VALUES:
            kept[key] = part
        elif key not in _IDLE or part != _IDLE[key]:
            kept[key] = _without_idle(part)
    return kept
