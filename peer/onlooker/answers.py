"""What peers answer to orders, as programs take it that look for a field by its name."""

from __future__ import annotations

from typing import Any, cast

from ..errors import NoPeer
from .reading import without_controls


class Answer(dict[str, Any]):
    """An object of JSON. Raises NoPeer where a field is missing that every peer tells."""

    def __missing__(self, key: str) -> Any:
        raise NoPeer(f"what answers is no cortex peer (it tells no {key!r})", "check the address")


def answer_of(value: Any) -> Any:
    """The same JSON, no text of which can move a terminal's cursor; its objects are Answers."""
    if isinstance(value, str):
        return without_controls(value)
    if isinstance(value, list):
        return [answer_of(one) for one in cast(list[Any], value)]
    if isinstance(value, dict):
        told = cast(dict[str, Any], value)
        return Answer({key: answer_of(one) for key, one in told.items()})
    return value
