"""A call spelt as one JSON object: {"name": "f", "arguments": {...}} (Hermes; Qwen 2.5 and 3).

In the usual order the arguments are told while they come. In any other, the object is read whole
first. What is no such object is no call.
"""

from __future__ import annotations

import re
from typing import Any, cast

from . import json_text
from .calls import CallWriter, Over

# Long enough for any name; a longer beginning is read whole before it is told.
_MAX_HEAD_CHARS = 1024
_HEAD = re.compile(r'\{\s*"name"\s*:\s*("(?:[^"\\\x00-\x1f]|\\.)+")\s*,\s*"arguments"\s*:\s*(?=\{)')
_CALL_KEYS = frozenset({"name", "arguments", "parameters", "id", "type"})
# What may stand between a call's end and its closing mark: a bracket too many is common.
_DEBRIS = " \t\r\n}"


class JsonCall:
    """A `CallBody` that begins with the object's opening bracket."""

    def __init__(self, writer: CallWriter) -> None:
        self._writer = writer
        self._take = self._take_head
        self._scan = json_text.JsonScan()
        # All of the text as it came, while it may be refused.
        self._raw: list[str] = []
        # The same mended, later the arguments so far.
        self._kept: list[str] = []
        self._num_kept = 0

    def push(self, text: str) -> Over | None:
        return self._take(text)

    def end(self, *, is_cut: bool) -> str:
        if not self._writer.has_begun:
            return "".join(self._raw)
        if self._take == self._take_arguments:
            self._writer.end(is_whole=False)
        return ""

    def _take_head(self, text: str) -> Over | None:
        mended, rest = self._scan.push(text)
        self._raw.append(text[: len(text) - len(rest or "")])
        self._kept.append(mended)
        if self._num_kept <= _MAX_HEAD_CHARS:
            so_far = "".join(self._kept)
            head = _HEAD.match(so_far[: _MAX_HEAD_CHARS + 1])
            name = _name(head[1]) if head else None
            if head and name:
                return self._begin(name, so_far[head.end() :] + (rest or ""))
        self._num_kept += len(mended)
        return None if rest is None else self._told_whole(rest)

    def _begin(self, name: str, arguments: str) -> Over | None:
        self._raw.clear()
        self._kept.clear()
        self._scan = json_text.JsonScan()
        self._writer.begin(name)
        self._take = self._take_arguments
        return self._take_arguments(arguments)

    def _take_arguments(self, text: str) -> Over | None:
        piece, rest = self._scan.push(text)
        self._kept.append(piece)
        self._writer.arguments(piece)
        if rest is None:
            return None
        self._writer.end(is_whole=json_text.is_object("".join(self._kept)))
        self._kept.clear()
        self._take = self._take_tail
        return self._take_tail(rest)

    def _take_tail(self, text: str) -> Over | None:
        """Behind the arguments: other members of the object, which mean nothing to a client."""
        text = text.lstrip(" \t\r\n")
        if text.startswith(","):
            self._scan = json_text.JsonScan(depth=1)
            self._take = self._take_members
            return self._take_members(text)
        return self._take_debris(text) if text else None

    def _take_members(self, text: str) -> Over | None:
        _, rest = self._scan.push(text)
        if rest is None:
            return None
        return self._take_debris(rest)

    def _take_debris(self, text: str) -> Over | None:
        self._take = self._take_debris
        rest = text.lstrip(_DEBRIS)
        return Over(rest) if rest else None

    def _told_whole(self, rest: str) -> Over | None:
        call = _read("".join(self._kept))
        if call is None:
            return Over(rest, refused="".join(self._raw))
        name, arguments = call
        self._writer.begin(name)
        self._writer.arguments(arguments)
        self._writer.end(is_whole=True)
        return self._take_debris(rest)


def _name(quoted: str) -> str | None:
    try:
        name = json_text.load(quoted)
    except ValueError:
        return None
    return json_text.without_half_characters(name) if isinstance(name, str) else None


def _read(text: str) -> tuple[str, str] | None:
    """Name and arguments of a whole object; None where it is no call."""
    try:
        value = json_text.load(text)
        if not isinstance(value, dict):
            return None
        call = cast(dict[str, Any], value)
        name, arguments = call.get("name"), call.get("arguments")
        if arguments is None or arguments == "":
            arguments = call.get("parameters")
        if arguments is None and call.keys() - _CALL_KEYS:
            return None  # what it is to be called with may be in there
        if isinstance(arguments, str):  # the object as a string: encoded twice
            arguments = json_text.load(arguments)
        if not isinstance(name, str) or not name or not isinstance(arguments or {}, dict):
            return None
        return json_text.without_half_characters(name), json_text.dumped(arguments or {})
    except ValueError:
        return None
