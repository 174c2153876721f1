"""What other programs' JSON says, made into values of ours, as their fields are declared.

It believes nothing: what does not fit is a ValueError, and no text can move a terminal's cursor.
Fields that are not declared are passed over.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_TEXT_CHARS = 512
# A day before the last that a calendar of Python's has, whose hours no time zone can push over it.
_MAX_UNIX_S = 253_402_214_400
# Asked of the class, so that who reads dataclasses alone need not load msgspec.
_OF_STRUCTS = ("fields", "encode_fields", "defaults")

# The key of a field that is read from the same object.
HERE = "."

T = TypeVar("T")
Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Told:
    """Of an annotated field: its name in the JSON where that is another, what reads it where its
    type alone does not say, and what it is where it is missing.
    """

    key: str = ""
    read: Read | None = None
    or_else: Any = field(default_factory=lambda: MISSING)


def read(kind: type[T], value: Any) -> T:
    """A value of a dataclass or a Struct. What is missing or null has the field's default, or is
    None where that may be. Raises ValueError for what does not fit.
    """
    told = dict_of(value)
    return kind(*(_field(told, *field) for field in _fields(kind)))


def _field(told: dict[str, Any], key: str, reader: Read, default: Any) -> Any:
    value = told if key == HERE else told.get(key)
    if value is None and default is not MISSING:
        return default
    if key != HERE and key not in told:
        raise ValueError(f"it has no '{key}'")
    return reader(value)


@functools.cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Read, Any], ...]:
    """The name in the JSON of each, what reads it, and what it is where it is missing."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        return tuple(_declared(each.name, hints[each.name], each.default) for each in fields(kind))
    names, keys, defaults = (getattr(kind, f"__struct_{what}__") for what in _OF_STRUCTS)
    own = [MISSING] * (len(names) - len(defaults)) + list(defaults)
    return tuple(
        (key, *_declared(name, hints[name], default)[1:])
        for name, key, default in zip(names, keys, own, strict=True)
    )


def _declared(name: str, hint: Any, default: Any) -> tuple[str, Read, Any]:
    told = Told()
    if get_origin(hint) is Annotated:
        hint, told = get_args(hint)
    if get_origin(hint) is UnionType:
        hint, default = get_args(hint)[0], None
    if told.or_else is not MISSING:
        default = told.or_else
    return told.key or name, told.read or _reader(hint), default


def _reader(hint: Any) -> Read:
    if get_origin(hint) is tuple:
        inner = _reader(get_args(hint)[0])
        return lambda value: tuple(map(inner, list_of(value)))
    return _READERS.get(hint) or functools.partial(read, hint)


def text(value: Any, max_chars: int = _MAX_TEXT_CHARS) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} where a text should be")
    return without_controls(value[:max_chars])


def without_controls(words: str) -> str:
    return _CONTROLS.sub("", words)


def long_text(value: Any) -> str:
    return text(value, 8192)


def whole(value: Any) -> int:
    return int(number(value))


def number(value: Any) -> float:
    # Infinities are numbers to Python's reader of JSON, and to nobody else.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise ValueError(f"{type(value).__name__} where a number should be")
    return value


def unix_time(value: Any) -> float:
    """Of Unix, in seconds; what no calendar shows is no time."""
    if (time_s := number(value)) > _MAX_UNIX_S:
        raise ValueError("a time behind the last year")
    return time_s


def difference(value: Any) -> int:
    is_negative = isinstance(value, int | float) and value < 0
    return -whole(-value) if is_negative else whole(value)


def list_of(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a list should be")
    return cast(list[Any], value)


def dict_of(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} where an object should be")
    return cast(dict[str, Any], value)


_READERS: dict[Any, Read] = {
    str: text,
    int: whole,
    float: number,
    bool: lambda value: value is True,
}
