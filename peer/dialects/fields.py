"""A JSON body being read field by field, with errors that name the field.

It knows types and ranges, not what any field means. `null` reads as absent everywhere, and fields
nobody asks for are never looked at.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn, cast

from cortex.engine.errors import InvalidRequest

_MAX_INTEGER = 2**63 - 1
# Escaped halves of surrogate pairs: whether there may be any, and each: a whole pair or a half.
# The backslashes before one come in twos, or it would be no escape.
_MAY_BE_LONE = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR_OR_LONE = re.compile(
    r"(?<!\\)((?:\\\\)*)"
    r"(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def refuse(path: str, expected: str, hint: str = "") -> NoReturn:
    raise InvalidRequest(f"{path}: {expected}", hint, param=path)


class Fields:
    """One JSON object of a body, and the path that leads to it."""

    def __init__(self, values: dict[str, object], path: str = "") -> None:
        self._values = values
        self.path = path

    def path_of(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def names(self) -> list[str]:
        return list(self._values)

    def raw(self, name: str) -> object:
        return self._values.get(name)

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str) -> str | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, str):
            refuse(self.path_of(name), "must be a string")
        return value

    def flag(self, name: str) -> bool:
        value = self.raw(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            refuse(self.path_of(name), "must be true or false")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            refuse(self.path_of(name), "must be a number")
        if not low <= value <= high:
            refuse(self.path_of(name), f"must be between {low:g} and {high:g}")
        return float(value)

    def integer(self, name: str, low: int, high: int = _MAX_INTEGER) -> int | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            refuse(self.path_of(name), "must be a whole number")
        if value < low:
            refuse(self.path_of(name), f"must be at least {low}")
        if value > high:
            refuse(self.path_of(name), f"must be at most {high}")
        return value

    def items(self, name: str) -> list[object] | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, list):
            refuse(self.path_of(name), "must be a list")
        return cast("list[object] | None", value)

    def object(self, name: str) -> Fields | None:
        value = self.raw(name)
        return None if value is None else as_fields(value, self.path_of(name))

    def json_text(self, name: str) -> str:
        """An object field as compact JSON text, keys in the order sent; `{}` where absent."""
        value = self.raw(name)
        if value is None:
            return "{}"
        if not isinstance(value, dict):
            refuse(self.path_of(name), "must be an object")
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_fields(value: object, path: str) -> Fields:
    if not isinstance(value, dict):
        refuse(path, "must be an object")
    return Fields(cast(dict[str, object], value), path)


def parse_object(body: bytes) -> Fields:
    """The body as a JSON object.

    Raises InvalidRequest for anything else. Text that JSON can spell and UTF-8 cannot (half a
    surrogate pair, as clients that cut strings send) reads as replacement characters.
    """
    try:
        text = without_lone_halves(body.decode("utf-8-sig"))
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except ValueError:
        raise InvalidRequest("the body is not JSON", "send one JSON object, in UTF-8") from None
    if not isinstance(value, dict):
        raise InvalidRequest("the body is not a JSON object", "send one JSON object")
    return Fields(cast(dict[str, object], value))


def without_lone_halves(json_text: str) -> str:
    """JSON text with a replacement character for each escaped half of a surrogate pair."""
    return _PAIR_OR_LONE.sub(_whole, json_text) if _MAY_BE_LONE.search(json_text) else json_text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(found: re.Match[str]) -> str:
    return found[0] if found[2] else found[1] + r"\ufffd"
