"""JSON schemas that clients send, opened with care: how large, how deep, how many parts.

What their keywords mean is the grammar library's affair, but for those that ask nothing or that it
reads too narrowly.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any, cast
from urllib.parse import unquote

from ..bounds import MAX_SCHEMA_BYTES
from ..errors import InvalidRequest
from ..parsers import json_text
from ..parsers.references import resolve
from .formats import FORMATS
from .unions import require_tags

# The library's own JSON reader gives up at 128.
MAX_SCHEMA_DEPTH = 100
MAX_SCHEMA_NODES = 20_000
# Up to there each whole number is a float of its own.
_MAX_LISTED = 2**53
# Other dialects' addresses are looked up, and found nowhere.
_KNOWN_DIALECTS = ("http://json-schema.org/", "https://json-schema.org/")

Schema = dict[str, Any]

# What is written out by generators of schemas and asks nothing, but the library refuses: these,
# and formats of an application's own.
_IDLE: Schema = {"propertyNames": {"type": "string"}, "uniqueItems": False}
# It refuses null for one of these as well, and 20.0, which is a whole number.
_COUNTS = frozenset(
    {"maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"}
)
# By this name a part of a schema that is cut out of it has the whole of it among its definitions.
_WHOLE = "$whole"
_DEFINITIONS = ("$defs", "definitions")
_NAMED_PARTS = frozenset({"properties", "patternProperties", *_DEFINITIONS})
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
    _check_listed(schema, name, param)
    schema = cast(Schema, _readable(schema))
    require_tags(_nodes(schema), schema)
    dialect = schema.get("$schema")
    if isinstance(dialect, str) and not dialect.startswith(_KNOWN_DIALECTS):
        return {key: part for key, part in schema.items() if key != "$schema"}
    return schema


class Cutting:
    """Parts of a tool's schema, each as one of its own in which all references lead where they led.

    What they share is made once: the definitions, and the whole where something refers to it.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._defs = {name: root[name] for name in _DEFINITIONS if isinstance(root.get(name), dict)}

    def cut_out(self, part: Schema) -> Schema:
        nodes = list(_nodes(part))
        if not any("$ref" in node for node in nodes):
            return part
        if not self._leads_out and not any(map(_outer_reference, nodes)):
            return {**part, **self._defs}
        return {**_led_through_whole(part), **self._defs_with_whole}

    @cached_property
    def _leads_out(self) -> bool:
        return any(map(_outer_reference, _nodes(self._defs)))

    @cached_property
    def _defs_with_whole(self) -> Schema:
        # Neither its own definitions nor a name by which references would be read.
        left_out = (*_DEFINITIONS, "$id", "id", "$schema")
        whole = {key: value for key, value in self._root.items() if key not in left_out}
        defs = {**self._defs.get("$defs", {}), _WHOLE: {**whole, "type": "object"}}
        return _led_through_whole({**self._defs, "$defs": defs})


def _led_through_whole(schema: Schema) -> Schema:
    led = copy.deepcopy(schema)
    for node in _nodes(led):
        if reference := _outer_reference(node):
            node["$ref"] = f"#/$defs/{_WHOLE}{reference[1:]}"
    return led


def _outer_reference(node: Schema) -> str:
    """A schema's reference to what is no definition, if it has such a one."""
    reference = node.get("$ref")
    if not isinstance(reference, str) or not (reference + "/").startswith("#/"):
        return ""
    is_definition = unquote(reference).startswith(tuple(f"#/{name}/" for name in _DEFINITIONS))
    return "" if is_definition else reference


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


def _check_listed(schema: Schema, name: str, param: str) -> None:
    """Raise InvalidRequest for a whole number that an answer would have to be, and could not.

    The library keeps such a number as a float, and would have the nearest one written.
    """
    pending = [node[key] for node in _nodes(schema) for key in ("const", "enum") if key in node]
    while pending:
        value = pending.pop()
        pending += _parts(value)
        if isinstance(value, int) and abs(value) > _MAX_LISTED:
            raise InvalidRequest(
                f"{name} lists {str(value)[:40]}, a number of more digits than can be kept apart",
                "list it as a string",
                param=param,
            )


def _check_references(schema: Schema, name: str, param: str) -> None:
    """Raise InvalidRequest where what a value must be is said by going round for ever.

    The library takes that, and finds no token where such a value would begin.
    """
    nodes = {id(node): node for node in _nodes(schema)}
    endless = _endless({place: _wishes(node, schema) for place, node in nodes.items()})
    if not endless:
        return
    # Whichever way is taken from there leads round sooner or later, and over a reference.
    place, passed = next(iter(endless)), dict[int, int]()
    while place not in passed:
        passed[place] = len(passed)
        place = endless[place]
    told = (nodes[on].get("$ref") for on, at in passed.items() if at >= passed[place])
    reference = next(text for text in told if isinstance(text, str))
    raise InvalidRequest(
        f"{name} has a $ref that leads to nothing but itself: {reference!r}",
        "let it lead to a schema that says what the value is",
        param=param,
    )


def _endless(wishes: dict[int, list[list[int]]]) -> dict[int, int]:
    """The nodes that lead nowhere, each with one that it leads to.

    A node leads somewhere when of each of its wishes one part does: what has no wishes, at once.
    """
    unmet = {place: dict(enumerate(parts)) for place, parts in wishes.items()}
    askers: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, numbered in unmet.items():
        for number, parts in numbered.items():
            for part in parts:
                askers[part].append((place, number))
    leading = [place for place in {*unmet, *askers} if not unmet.get(place)]
    while leading:
        for place, number in askers[leading.pop()]:
            if unmet[place].pop(number, None) and not unmet[place]:
                leading.append(place)
    return {place: next(iter(left.values()))[0] for place, left in unmet.items() if left}


def _wishes(node: Schema, root: Schema) -> list[list[int]]:
    """The schemas that a value here has to obey as well: of each list, one of them."""
    wishes = [[part] for part in _list(node.get("allOf"))]
    wishes += [parts for key in ("anyOf", "oneOf") if (parts := _list(node.get(key)))]
    if isinstance(reference := node.get("$ref"), str):
        wishes.append([resolve(reference, root)])
    return [[id(part) for part in parts] for parts in wishes]


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
    return list(cast(Schema, node).values()) if isinstance(node, dict) else _list(node)


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _readable(node: Any) -> Any:
    if isinstance(node, list):
        return [_readable(part) for part in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    kept: Schema = {}
    for key, part in cast(Schema, node).items():
        if key in _NAMED_PARTS and isinstance(part, dict):
            named = cast(Schema, part)
            kept[key] = {name: _readable(schema) for name, schema in named.items()}
        elif key in _VALUES:
            kept[key] = part
        elif key in _COUNTS and isinstance(part, float) and part.is_integer():
            kept[key] = int(part)
        elif not _is_idle(key, part):
            kept[key] = _readable(part)
    return kept


def _is_idle(key: str, part: Any) -> bool:
    if key == "format":
        return isinstance(part, str) and part not in FORMATS
    return (key in _COUNTS and part is None) or (key in _IDLE and part == _IDLE[key])
