"""The JSON text of a call's arguments on its way to a client that parses it as it comes.

Accumulators of clients raise at the first character that is no JSON, and models write such. What
can be mended without knowing what follows is mended; at any other fault the object ends with its
last whole value. So what is told is JSON at every moment as far as it goes, and a client that takes
the values which are whole takes the same as `input_json`. It knows nothing of schemas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import TypeVar

_SPACE = " \t\r\n"
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_WORD = re.compile(r'[^ \t\r\n,:"\[\]{}]+')
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_HIGH, _LOW = re.compile(r"\\u[dD][89abAB]"), re.compile(r"\\u[dD][c-fC-F]")
_REPLACEMENT = r"\ufffd"
_CLOSING = {"{": "}", "[": "]"}
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
# Parsers of clients recurse, and give up somewhere beyond this.
_MAX_DEPTH = 128
# Nothing anybody means has more digits.
_MAX_WORD_CHARS = 1024
_ESCAPE_CHARS = 6


T = TypeVar("T")


class _Broken(Exception):
    """What comes here is no JSON, whatever follows."""


# Reads on where more has come, and gives its result at the end.
_Reading = Generator[None, None, T]


class Arguments:
    """Push the pieces of one call's arguments; what comes back is to be told.

    With `closed_early` values may be missing that the model wrote, or meant to.
    """

    def __init__(self) -> None:
        self.closed_early = False
        # What has come and is not read yet begins at `_at`.
        self._held, self._at = "", 0
        self._told: list[str] = []
        # Closers of what is open, the innermost last.
        self._open: list[str] = []
        self._is_in_text = False
        # How many pieces there were behind the last whole value, and what was open there.
        self._whole: tuple[int, str] = (0, "{}")
        self._reading = self._read()

    def push(self, text: str) -> str:
        """The next piece to tell: often the same, sometimes with some held back, or nothing."""
        num_told = len(self._told)
        self._held, self._at = self._held[self._at :] + text, 0
        next(self._reading)
        return "".join(self._told[num_told:])

    def end(self) -> str:
        """What makes an object of what was told, now that no more will come."""
        num_told = len(self._told)
        if self._is_in_text:
            self._told.append('"')
        if self._open or not self._told:
            self._close()
        self._reading = self._skip()
        return "".join(self._told[num_told:])

    def input_json(self) -> str:
        """The object of all values that were told whole."""
        num_pieces, closing = self._whole
        return "".join(self._told[:num_pieces]) + closing

    def _close(self) -> None:
        self.closed_early = True
        self._told.append("".join(reversed(self._open)))
        self._open.clear()
        if self._whole[0]:
            self._whole = (len(self._told), "")

    def _read(self) -> _Reading[None]:
        try:
            if (yield from self._mark()) != "{":
                raise _Broken
            yield from self._nested("", "{")
        except _Broken:
            self._close()
        yield from self._skip()

    def _skip(self) -> _Reading[None]:
        while True:
            self._at = len(self._held)
            yield

    def _mark(self) -> _Reading[str]:
        """The next character that is no space; it is not taken."""
        while True:
            while self._at < len(self._held):
                if (mark := self._held[self._at]) not in _SPACE:
                    return mark
                self._at += 1
            yield

    def _nested(self, lead: str, opening: str) -> _Reading[None]:
        """An object or a list. A `lead` is what stands before a value: it is told with it."""
        if len(self._open) == _MAX_DEPTH:
            raise _Broken
        closing = _CLOSING[opening]
        self._open.append(closing)
        self._at += 1
        self._tell(lead + opening)
        comma = ""
        # Also behind a comma: models write one where nothing follows.
        while (mark := (yield from self._mark())) != closing:
            key = (yield from self._key(mark)) if closing == "}" else ""
            yield from self._value(comma + key)
            if (mark := (yield from self._mark())) == ",":
                self._at += 1
                comma = ","
            elif mark != closing:
                raise _Broken
        self._at += 1
        self._open.pop()
        self._tell(closing)

    def _key(self, mark: str) -> _Reading[str]:
        if mark != '"':
            raise _Broken
        key: list[str] = []
        yield from self._text(key)
        if (yield from self._mark()) != ":":
            raise _Broken
        self._at += 1
        return f'"{"".join(key)}":'

    def _value(self, lead: str) -> _Reading[None]:
        mark = yield from self._mark()
        if mark in _CLOSING:
            yield from self._nested(lead, mark)
        elif mark == '"':
            self._told.append(lead + mark)
            self._is_in_text = True
            yield from self._text(self._told)
            self._is_in_text = False
            self._tell(mark)
        else:
            self._tell(lead + (yield from self._word()))

    def _word(self) -> _Reading[str]:
        while True:
            word = _WORD.match(self._held, self._at)
            if word is None or len(word[0]) > _MAX_WORD_CHARS:
                raise _Broken
            if word.end() < len(self._held):
                break
            yield
        scalar = _PYTHON_WORDS.get(word[0], word[0])
        if not _SCALAR.fullmatch(scalar):
            raise _Broken
        self._at = word.end()
        return scalar

    def _text(self, out: list[str]) -> _Reading[None]:
        """What stands between quotes, to the closing one, which is taken."""
        self._at += 1
        while True:
            char = self._held[self._at : self._at + 1]
            if char == '"':
                self._at += 1
                return
            if plain := _PLAIN.match(self._held, self._at):
                out.append(plain[0])
                self._at = plain.end()
            elif char and char != "\\":
                out.append(json.dumps(char)[1:-1])  # a control character, written out
                self._at += 1
            elif char and (escape := self._escape()) is not None:
                out.append(escape[0])
                self._at += escape[1]
            else:
                yield

    def _escape(self) -> tuple[str, int] | None:
        """What is told for the escape here, and how long it is; None where that is not known."""
        escape = _ESCAPE.match(self._held, self._at)
        if escape is None:
            return self._no_escape()
        is_low = _LOW.match(escape[0])
        if is_low or not _HIGH.match(escape[0]):
            return _REPLACEMENT if is_low else escape[0], len(escape[0])
        second = self._held[escape.end() : escape.end() + _ESCAPE_CHARS]
        if len(second) < _ESCAPE_CHARS and r"\u".startswith(second[:2]):
            return None
        if _LOW.match(second) and _ESCAPE.fullmatch(second):
            return escape[0] + second, 2 * _ESCAPE_CHARS
        return _REPLACEMENT, _ESCAPE_CHARS

    def _no_escape(self) -> tuple[str, int] | None:
        """A backslash that stands for itself, as models write them in paths and patterns."""
        following = self._held[self._at + 1 : self._at + _ESCAPE_CHARS]
        may_become_one = following[:1] in ("", "u") and all(
            char in "0123456789abcdefABCDEF" for char in following[1:]
        )
        return None if may_become_one and len(following) < _ESCAPE_CHARS - 1 else (r"\\", 1)

    def _tell(self, text: str) -> None:
        """Behind it a value is whole, or begun and still empty."""
        self._told.append(text)
        self._whole = (len(self._told), "".join(reversed(self._open)))
