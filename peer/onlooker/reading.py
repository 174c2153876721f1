"""What other programs' JSON says, made into values of ours.

It believes nothing: what does not fit is a ValueError, and no text can move a terminal's cursor.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_TEXT_CHARS = 512

T = TypeVar("T")
P = ParamSpec("P")


def complete(read: Callable[P, T]) -> Callable[P, T]:
    """A reader that raises ValueError for what is missing, as for what does not fit."""

    @functools.wraps(read)
    def reader(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except KeyError as error:
            raise ValueError(f"it has no {error}") from None

    return reader


def optional(value: Any, read: Callable[[Any], T]) -> T | None:
    return None if value is None else read(value)


def text(value: Any, max_chars: int = _MAX_TEXT_CHARS) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} where a text should be")
    return _CONTROLS.sub("", value[:max_chars])


def whole(value: Any) -> int:
    return int(number(value))


def number(value: Any) -> float:
    # Infinities are numbers to Python's reader of JSON, and to nobody else.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise ValueError(f"{type(value).__name__} where a number should be")
    return value


def list_of(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a list should be")
    return cast(list[Any], value)


def dict_of(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} where an object should be")
    return cast(dict[str, Any], value)
