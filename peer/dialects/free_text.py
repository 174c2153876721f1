"""The plain text of a custom tool's call, taken out of the JSON that the model writes for it.

To the model such a tool is a function of one string, `input`. Its client wants that string as it
comes, so the JSON text is read while it is written. Pure; arguments of any other form are told
whole, at their end.
"""

from __future__ import annotations

import json
import re
from typing import cast

_PARAMETER = "input"

_OPENING = re.compile(r'\s*\{\s*"input"\s*:\s*"')
# A model that has written so much without it opens otherwise.
_MAX_OPENING = 256
_READABLE = re.compile(r'(?:[^"\\]+|\\u[0-9a-fA-F]{4}|\\u(?=[0-9a-fA-F]{0,3}[^0-9a-fA-F])|\\[^u])*')
# The first half of a pair, the second of which may be on its way.
_FIRST_HALF = re.compile(r"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})$")
_PART_OF_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?")


class FreeText:
    """Push the pieces of the JSON text in order, then ask for the end once."""

    def __init__(self) -> None:
        self._waiting = ""
        self._is_inside = False
        self._is_over = False

    def push(self, json_text: str) -> str:
        """What more of the text is known now."""
        self._waiting += json_text
        if not self._is_inside and not self._has_opened():
            return ""
        return self._read() if not self._is_over else ""

    def end(self) -> str:
        """What is told last, of text that was cut off or has another form."""
        rest, self._waiting = self._waiting, ""
        if not self._is_inside:
            return _text_of(rest)
        is_nothing = self._is_over or _PART_OF_ESCAPES.fullmatch(rest) is not None
        return "" if is_nothing else _decoded(rest)

    def _has_opened(self) -> bool:
        opening = _OPENING.match(self._waiting[:_MAX_OPENING])
        if opening is not None:
            self._is_inside, self._waiting = True, self._waiting[opening.end() :]
        return self._is_inside

    def _read(self) -> str:
        readable = _READABLE.match(self._waiting)
        end = readable.end() if readable is not None else 0
        self._is_over = self._waiting[end : end + 1] == '"'
        if not self._is_over and (half := _FIRST_HALF.search(self._waiting[:end])) is not None:
            end = half.start(1)
        text, self._waiting = self._waiting[:end], self._waiting[end:]
        return _decoded(text)


def _decoded(text: str) -> str:
    """What stands between the quotes of a JSON string; as it is where that is no JSON."""
    if "\\" not in text:
        return text
    try:
        value = cast(str, json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text_of(arguments: str) -> str:
    try:
        value: object = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        return arguments
    inner = cast("dict[str, object]", value).get(_PARAMETER) if isinstance(value, dict) else None
    return inner if isinstance(inner, str) else arguments
