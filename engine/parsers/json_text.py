"""JSON text as models write it: where a value ends, and whether it is one.

It follows text that is still coming, in time linear in its length, and mends the one mistake that
models make all the time and that can be mended without knowing what follows: line breaks and other
control characters written out inside strings.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

_IN_STRING = re.compile(r'["\\\x00-\x1f]')
_OUTSIDE = re.compile(r'["{}\[\]<]')


class JsonScan:
    """Follows one object or array, from its opening bracket or from `depth` brackets inside it."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._is_in_string = False
        self._is_escaped = False

    def push(self, text: str) -> tuple[str, str | None]:
        """The text as far as the value goes, and what stands behind it: None while it goes on.

        A `<` outside of strings is no JSON: the value, broken, ends before it.
        """
        taken: list[str] = []
        position = 0
        while position < len(text):
            if self._is_escaped:
                self._is_escaped = False
                taken.append(text[position])
                position += 1
                continue
            found = (_IN_STRING if self._is_in_string else _OUTSIDE).search(text, position)
            if found is None:
                break
            taken.append(text[position : found.start()])
            position = found.end()
            if not self._is_in_string and found[0] == "<":
                return "".join(taken), text[found.start() :]
            taken.append(self._take(found[0]))
            if self._depth == 0 and not self._is_in_string:
                return "".join(taken), text[position:]
        return "".join((*taken, text[position:])), None

    def _take(self, char: str) -> str:
        """A character that changes where we are, as it should be written."""
        if self._is_in_string:
            if char < " ":
                return escaped(char)
            self._is_in_string = char != '"'
            self._is_escaped = char == "\\"
        elif char == '"':
            self._is_in_string = True
        else:
            self._depth += 1 if char in "{[" else -1
        return char


def load(text: str) -> object:
    """The value of strict JSON text.

    Raises ValueError for anything else, also for what Python's own reader is lenient about.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_object(text: str) -> bool:
    try:
        return isinstance(load(text), dict)
    except ValueError:
        return False


def escaped(text: str) -> str:
    """Text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def dumped(value: object) -> str:
    """A loaded value as JSON text that UTF-8 can carry, also where it holds half a character.

    Raises ValueError for a number that JSON cannot spell.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return without_half_characters(text)


def without_half_characters(text: str) -> str:
    """JSON can spell half a surrogate pair, which no UTF-8 can carry: U+FFFD stands for it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
