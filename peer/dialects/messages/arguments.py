"""The JSON text of a call's arguments on its way to a client that parses it as it comes.

Accumulators of clients raise at the first character that is no JSON, and models write such. What
can be mended without knowing what follows is mended; at any other fault the object ends with its
last whole value. So what is told is JSON at every moment as far as it goes, and a client that takes
the values which are whole takes the same as `input_json`. It knows nothing of schemas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

_SPACE = re.compile(r"[ \t\r\n]*")
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


class _Broken(Exception):
    """What comes here is no JSON, whatever follows."""


class Arguments:
    """Push the pieces of one call's arguments; what comes back is to be told."""

    def __init__(self) -> None:
        self._held = ""
        # The comma, key and colon before a value: told with its beginning.
        self._lead: list[str] = []
        self._told: list[str] = []
        # Closers of what is open, the innermost last.
        self._open: list[str] = []
        self._take: Callable[[int], int | None] = self._take_start
        # How many pieces there were behind the last whole value, and what was open there.
        self._whole: tuple[int, str] = (0, "{}")

    def push(self, text: str) -> str:
        """The next piece to tell: often the same, sometimes with some held back, or nothing."""
        self._held += text
        num_told = len(self._told)
        position: int | None = 0
        reached = 0
        try:
            while position is not None and position < len(self._held):
                reached = position
                position = self._take(position)
        except _Broken:
            self._close()
            position = len(self._held)
        self._held = self._held[reached if position is None else position :]
        return "".join(self._told[num_told:])

    def end(self) -> str:
        """What makes an object of what was told, now that no more will come."""
        num_told = len(self._told)
        if self._take == self._take_string:
            self._told.append('"')
        self._close()
        return "".join(self._told[num_told:])

    def input_json(self) -> str:
        """The object of all values that were told whole."""
        num_pieces, closing = self._whole
        return "".join(self._told[:num_pieces]) + closing

    def _close(self) -> None:
        self._told.append("".join(reversed(self._open)))
        self._open.clear()
        self._lead.clear()
        if self._whole[0]:
            self._whole = (len(self._told), "")
        self._take = self._take_nothing

    # Each of these takes what is held from a position in one state, and says where it ends; None
    # where that cannot be known yet.

    def _take_start(self, position: int) -> int:
        position = self._behind_space(position)
        if self._is_end(position):
            return position
        if self._held[position] != "{":
            raise _Broken
        return self._begin("{", position)

    def _take_nothing(self, position: int) -> int:
        return len(self._held)

    def _take_value(self, position: int) -> int | None:
        position = self._behind_space(position)
        if self._is_end(position):
            return position
        mark = self._held[position]
        if mark in _CLOSING:
            return self._begin(mark, position)
        if mark == '"':
            self._take = self._take_string
            self._tell(mark)
            return position + 1
        return self._take_word(position)

    def _take_word(self, position: int) -> int | None:
        word = _WORD.match(self._held, position)
        if word is None or len(word[0]) > _MAX_WORD_CHARS:
            raise _Broken
        if self._is_end(word.end()):
            return None
        scalar = _PYTHON_WORDS.get(word[0], word[0])
        if not _SCALAR.fullmatch(scalar):
            raise _Broken
        self._tell(scalar)
        self._value_is_whole()
        return word.end()

    def _take_first_item(self, position: int) -> int | None:
        return self._take_end_or(position, "]", self._take_value)

    def _take_first_key(self, position: int) -> int | None:
        return self._take_end_or(position, "}", self._take_key)

    def _take_end_or(
        self, position: int, closing: str, other: Callable[[int], int | None]
    ) -> int | None:
        position = self._behind_space(position)
        if self._is_end(position):
            return position
        return self._end(position) if self._held[position] == closing else other(position)

    def _take_key(self, position: int) -> int:
        return self._take_mark(position, '"', self._take_key_string)

    def _take_colon(self, position: int) -> int:
        return self._take_mark(position, ":", self._take_value)

    def _take_behind_value(self, position: int) -> int:
        position = self._behind_space(position)
        if self._is_end(position):
            return position
        if self._held[position] == self._open[-1]:
            return self._end(position)
        # Behind a comma as at the beginning: models also write one where nothing follows.
        is_object = self._open[-1] == "}"
        following = self._take_first_key if is_object else self._take_first_item
        return self._take_mark(position, ",", following)

    def _take_mark(self, position: int, mark: str, following: Callable[[int], int | None]) -> int:
        position = self._behind_space(position)
        if self._is_end(position):
            return position
        if self._held[position] != mark:
            raise _Broken
        self._lead.append(mark)
        self._take = following
        return position + 1

    def _take_string(self, position: int) -> int | None:
        if self._held[position] == '"':
            self._tell('"')
            self._value_is_whole()
            return position + 1
        return self._take_chars(position, self._told)

    def _take_key_string(self, position: int) -> int | None:
        if self._held[position] == '"':
            self._lead.append('"')
            self._take = self._take_colon
            return position + 1
        return self._take_chars(position, self._lead)

    def _take_chars(self, position: int, out: list[str]) -> int | None:
        plain = _PLAIN.match(self._held, position)
        if plain is not None:
            out.append(plain[0])
            return plain.end()
        if self._held[position] == "\\":
            return self._take_escape(position, out)
        out.append(json.dumps(self._held[position])[1:-1])  # a control character, written out
        return position + 1

    def _take_escape(self, position: int, out: list[str]) -> int | None:
        escape = _ESCAPE.match(self._held, position)
        if escape is None:
            return self._take_no_escape(position, out)
        end = escape.end()
        if _HIGH.match(escape[0]):
            second = self._held[end : end + _ESCAPE_CHARS]
            if len(second) < _ESCAPE_CHARS and r"\u".startswith(second[:2]):
                return None
            is_pair = _LOW.match(second) and _ESCAPE.fullmatch(second)
            out.append(escape[0] + second if is_pair else _REPLACEMENT)
            return end + _ESCAPE_CHARS if is_pair else end
        out.append(_REPLACEMENT if _LOW.match(escape[0]) else escape[0])
        return end

    def _take_no_escape(self, position: int, out: list[str]) -> int | None:
        """A backslash that stands for itself, as models write them in paths and patterns."""
        following = self._held[position + 1 : position + _ESCAPE_CHARS]
        may_become_one = following[:1] in ("", "u") and all(
            char in "0123456789abcdefABCDEF" for char in following[1:]
        )
        if may_become_one and len(following) < _ESCAPE_CHARS - 1:
            return None
        out.append(r"\\")
        return position + 1

    def _begin(self, opening: str, position: int) -> int:
        if len(self._open) == _MAX_DEPTH:
            raise _Broken
        self._open.append(_CLOSING[opening])
        self._take = self._take_first_key if opening == "{" else self._take_first_item
        self._tell(opening)
        self._note_whole()
        return position + 1

    def _end(self, position: int) -> int:
        self._lead.clear()  # a comma with nothing behind it
        self._tell(self._open.pop())
        self._value_is_whole()
        return position + 1

    def _value_is_whole(self) -> None:
        self._take = self._take_behind_value if self._open else self._take_nothing
        self._note_whole()

    def _note_whole(self) -> None:
        self._whole = (len(self._told), "".join(reversed(self._open)))

    def _tell(self, text: str) -> None:
        self._told += self._lead
        self._lead.clear()
        self._told.append(text)

    def _behind_space(self, position: int) -> int:
        space = _SPACE.match(self._held, position)
        return position if space is None else space.end()

    def _is_end(self, position: int) -> bool:
        return position == len(self._held)
